"""Contrasts worked by hand, who is compared with whom, and what the verdict dares to say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from comparisons import POLICIES, SIX, UNPRUNED, full_comparison, make_arm, make_comparison
from hypothesis import given
from hypothesis import strategies as st
from runs import make_run

from results import TABLES, Comparison, tables
from results.board import Board, means, unpruned_flops
from results.contrasts import Contrast, contrasts, two_by_two, unanswered, verdict
from results.differences import holm

NAN = math.nan
FOUR = {
    ("trial 12", "finetune"): [0.930, 0.934, 0.932],
    ("trial 12", "scratch-b+"): [0.920, 0.922, 0.921],
    ("uniform", "finetune"): [0.910, 0.913, 0.912],
    ("uniform", "scratch-b+"): [0.906, 0.905, 0.907],
}
DRAWN = {("trial 12", "random-channels"): [0.929, 0.936, 0.931]}


def by_name(comparison: Comparison) -> dict[str, Contrast]:
    return {c.name: c for c in contrasts(comparison)}


def test_the_planned_contrasts_by_hand() -> None:
    found = by_name(make_comparison(FOUR | DRAWN))
    # Fine-tuned less fresh: 1.0, 1.2, 1.1 points searched and 0.4, 0.8, 0.5 uniform.
    weights = found["weights"].paired
    assert (weights.n, weights.difference) == (3, pytest.approx((0.007 + 0.010 + 0.008) / 3))
    assert weights.deviation == pytest.approx(math.sqrt(7 / 3) * 1e-3)
    # Searched less uniform: 2.0, 2.1, 2.0 fine-tuned and 1.4, 1.7, 1.4 fresh.
    assert found["widths"].paired.difference == pytest.approx((0.017 + 0.019 + 0.017) / 3)
    # Chosen less random: 0.1, -0.2, 0.1.
    assert found["channels"].paired.difference == pytest.approx(0, abs=1e-12)
    # What weights bring, searched less uniform: 0.6, 0.4, 0.6.
    assert found["interaction"].paired.difference == pytest.approx(0.016 / 3)


def test_holm_within_each_family_over_all_budgets() -> None:
    one = full_comparison(("trial 12", "uniform", "l1"))
    other = tuple(
        replace(r, budget="0.3", test_accuracy=r.test_accuracy * 0.9 + 0.001 * (r.seed == 1))
        for r in one.arms
    )
    found = contrasts(replace(one, arms=(*one.arms, *other)))
    for family in ("planned", "further"):
        mine = [c for c in found if c.family == family]
        assert {c.budget for c in mine} == {"0.5", "0.3"}
        assert [c.adjusted for c in mine] == holm([c.paired.p_value for c in mine])
        assert {c.comparisons for c in mine} == {len(mine)}
    assert [c.name for c in found if c.family == "planned"] == ["weights", "widths", "channels"] * 2
    assert [c.budget for c in found] == sorted((c.budget for c in found), reverse=True)


def inheriting(comparison: Comparison, times: float) -> Comparison:
    """The same with an unpruned network that was trained so many times as long."""
    longer = (replace(r, inherited_flops=round(r.inherited_flops * times)) for r in comparison.arms)
    return replace(comparison, arms=tuple(longer))


def test_how_much_computation_fresh_weights_have_is_computed() -> None:
    # In multiples of UNPRUNED: fresh weights take 1.125, inherited ones 10.125.
    found = by_name(inheriting(make_comparison(FOUR), 10))
    arms = found["trial 12: finetune - scratch-b+"]
    for c in (found["weights"], arms):
        assert c.right == "training fresh weights with 0.11 × the computation"
        assert f"{c.right}: +" in c.sentence
    where = found["scratch-b+: trial 12 - uniform"].where
    assert where == "by training fresh weights with 0.11 × the computation"
    less = by_name(inheriting(make_comparison(FOUR), 0.5))["weights"]
    assert less.right == "training fresh weights with 1.8 × the computation"


@pytest.mark.parametrize(
    ("times", "amount"),
    [
        (1.022, "the same computation"),
        (1.024, "0.98 × the computation"),
        (0.979, "the same computation"),
        (0.975, "1.02 × the computation"),
    ],
)
def test_two_percent_of_computation_are_the_same(times: float, amount: str) -> None:
    weights = by_name(inheriting(make_comparison(FOUR), times))["weights"]
    assert weights.right == f"training fresh weights with {amount}"


def test_computation_of_fresh_weights_alone_is_not_compared() -> None:
    fresh = {place: values for place, values in FOUR.items() if place[1] == "scratch-b+"}
    assert by_name(make_comparison(fresh))["scratch-b+: trial 12 - uniform"].where == (
        "by training fresh weights for the unpruned network's computation and the fine-tuning "
        "epochs"
    )


def test_only_what_was_asked_for_takes_part() -> None:
    everything = full_comparison(("trial 12", "trial 7", "uniform", "l1"))
    options = {"structures": ["searched", "uniform"], "arms": ["finetune", "scratch-b+"]}
    asked = replace(everything, options=options)
    first = [mean.first for mean in means(asked)]
    assert {r.structure for r in first} == {"trial 12", "trial 7", "uniform"}
    assert {r.arm for r in first} == {"finetune", "scratch-b+"}
    found = by_name(asked)
    assert found["channels"].note
    assert not [name for name in found if "l1" in name or "scratch-e" in name]
    assert found["weights"].comparisons == 2
    assert len(TABLES["comparison"](make_run(compared=asked))) == len(everything.arms)
    uniform = replace(everything, options={"structures": ["uniform"]})
    assert {mean.first.structure for mean in means(uniform)} == {"uniform"}


def test_who_is_compared_further() -> None:
    names = list(by_name(full_comparison(("trial 12", "trial 7", "uniform", "l1", "slimming"))))
    assert names[3] == "interaction"
    assert "trial 12: finetune - random-channels" not in names  # planned
    assert "trial 7: finetune - random-channels" in names
    assert "scratch-e: trial 12 - slimming" in names
    assert not [name for name in names if name.endswith("- trial 7")]
    # Of fresh weights, and of channels drawn at random, l1 and uniform are the same trainings.
    of_l1 = [name for name in names if name.endswith("- l1")]
    assert of_l1 == ["finetune: trial 12 - l1", "finetune-small: trial 12 - l1"]
    assert len(names) == len(set(names))


def test_the_same_trainings_are_not_compared() -> None:
    comparison = full_comparison()
    same_rate = tuple(replace(r, lr=1e-3) if r.arm == "finetune" else r for r in comparison.arms)
    names = by_name(replace(comparison, arms=same_rate))
    assert "trial 12: finetune - scratch-e" in names
    assert "trial 12: finetune - finetune-small" not in names


def test_the_search_may_find_the_uniform_widths() -> None:
    comparison = make_comparison(FOUR)
    same = tuple(replace(r, policy=POLICIES["uniform"]) for r in comparison.arms)
    found = by_name(replace(comparison, arms=same))
    assert found["widths"].sentence == (
        "At budget 0.5, the best that the search found are the uniform widths themselves."
    )
    assert (found["widths"].shown, found["widths"].paired.n) == (False, 0)
    assert found["weights"].paired.n == 3
    assert "interaction" not in found
    assert "finetune: trial 12 - uniform" not in found


def test_channels_that_the_run_drew_at_random() -> None:
    comparison = make_comparison(FOUR | DRAWN)
    drawn = tuple(replace(r, criterion=r.criterion and "random") for r in comparison.arms)
    found = by_name(replace(comparison, arms=drawn))
    assert "no choice to judge" in found["channels"].sentence


def test_what_is_missing_is_said() -> None:
    found = by_name(make_comparison({k: v for k, v in FOUR.items() if k[1] == "finetune"}))
    assert found["weights"].sentence == (
        "At budget 0.5, there is no verdict on inherited weights: it takes scratch-b+ of searched "
        "widths and scratch-b+ of uniform widths, which were not trained, or failed."
    )
    assert "random-channels of searched widths" in found["channels"].sentence
    assert list(found)[3:] == ["finetune: trial 12 - uniform"]


def test_failed_trainings_and_missing_seeds_are_left_out() -> None:
    cells = FOUR | {("uniform", "finetune"): [NAN, 0.913, 0.912]}
    comparison = make_comparison(cells)
    assert by_name(comparison)["weights"].paired.n == 2
    assert verdict(comparison)[-1] == (
        "At budget 0.5, 1 training failed and is left out of every comparison."
    )
    cells |= {("uniform", "scratch-b+"): [0.906]}
    alone = by_name(make_comparison(cells))["weights"]
    assert "share no seed that succeeded" in alone.sentence


def test_one_seed_gives_no_interval_and_no_claim() -> None:
    found = contrasts(make_comparison({k: v[:1] for k, v in (FOUR | DRAWN).items()}))
    assert all(math.isnan(c.adjusted) and c.comparisons == 0 and not c.shown for c in found)
    assert all("no interval can be given" in c.sentence for c in found)


def test_records_of_another_plan_do_not_count() -> None:
    comparison = make_comparison(FOUR)
    old = make_arm("uniform", "finetune", 0, 0.1, epochs=1)
    again = replace(comparison, arms=(*comparison.arms, old))
    assert verdict(again) == verdict(comparison)
    tuned = next(mean for mean in means(again) if mean.first.structure == "uniform")
    assert (len(tuned.accuracy), tuned.first.epochs) == (3, 5)


accuracies = st.lists(st.integers(0, 60), min_size=3, max_size=3)


@given(st.lists(accuracies, min_size=5, max_size=5))
def test_no_sentence_claims_more_than_is_shown(values: list[list[int]]) -> None:
    places = [*FOUR, *DRAWN]
    cells = {p: [0.9 + v / 1000 for v in vs] for p, vs in zip(places, values, strict=True)}
    for c in contrasts(make_comparison(cells)):
        claims = any(
            f" {verb} {word} than " in c.sentence for verb in ("is", "are") for word in c.words
        )
        assert claims == c.shown
        if claims:
            assert c.adjusted < 0.05
            assert c.paired.low > 0 or c.paired.high < 0


def test_the_verdict_by_hand() -> None:
    weights, widths, channels = verdict(make_comparison(FOUR | DRAWN))
    assert weights.startswith(
        "At budget 0.5, over searched and uniform widths, fine-tuning inherited weights is better "
        "than training fresh weights with the same computation: +0.83 "
    )
    assert "the searched widths are better than uniform ones: +1.77 " in widths
    assert channels.startswith(
        "At budget 0.5, inside the searched widths, no difference between the channels chosen by "
        "second_order and ones drawn at random could be shown: +0.00 "
    )
    assert verdict(Comparison()) == contrasts(Comparison()) == []


def test_where_the_criteria_differ_the_widths_are_not_credited_alone() -> None:
    one = make_comparison(FOUR)
    arms = [replace(r, criterion="l1") if r.structure == "uniform" else r for r in one.arms]
    _, widths, _ = verdict(replace(one, arms=tuple(arms)))
    assert (
        "the searched widths under second_order are better than uniform ones under l1: +1.77 "
    ) in widths


def test_the_two_by_two() -> None:
    cells = two_by_two(Board(make_comparison(FOUR), "0.5"))
    assert [[*cell.values()] for cell in cells] == [*FOUR.values()]
    assert two_by_two(Board(Comparison(), "0.5")) == ({}, {}, {}, {})


def test_means_and_computation_of_every_arm() -> None:
    cells = {("uniform", arm): [0.9, 0.92, NAN] for arm in SIX}
    by_arm = {mean.first.arm: mean for mean in means(make_comparison(cells))}
    assert list(by_arm) == list(SIX)
    assert [(mean.accuracy, mean.failed) for mean in by_arm.values()] == [((0.9, 0.92), 1)] * 6
    # Half the flops: fine-tuning for 5 of 20 epochs is an eighth of the unpruned training.
    relative = [1.125, 1.125, 1.125, 0.5, 1.0, 1.125]
    assert [mean.total_relative for mean in by_arm.values()] == pytest.approx(relative)
    tuned, fresh = by_arm["finetune"].first, by_arm["scratch-b+"].first
    assert tuned.inherited_flops == UNPRUNED
    assert tuned.total_flops == fresh.total_flops


def test_what_the_unpruned_training_took() -> None:
    assert unpruned_flops(make_comparison({("uniform", "scratch-e"): [0.9]})) == UNPRUNED
    sparse = make_arm("slimming", "finetune", 0, 0.9, inherited_flops=2 * UNPRUNED)
    for other in (
        make_arm("uniform", "finetune", 0, 0.9),
        make_arm("uniform", "scratch-e", 0, 0.9),
    ):
        assert unpruned_flops(Comparison(arms=(sparse, other))) == UNPRUNED
    assert unpruned_flops(Comparison(arms=(sparse,))) == 2 * UNPRUNED
    without = make_comparison({("uniform", "scratch-b"): [0.9]})
    assert unpruned_flops(without) == 0
    assert all(math.isnan(mean.total_relative) for mean in means(without))


def test_tables_have_their_columns_whatever_there_is() -> None:
    full, nothing = full_comparison(), Comparison()
    for name, order in (
        ("comparison", tables.ARM),
        ("contrasts", tables.CONTRAST.replace("=adjusted", "")),
        ("sweep", "budget lr epochs seed val_accuracy chosen reason serves"),
    ):
        some, none = (TABLES[name](make_run(compared=each)) for each in (full, nothing))
        columns = order.split()
        assert list(some.columns[: len(columns)]) == columns == list(none.columns)
        assert list(some.dtypes[: len(columns)]) == list(none.dtypes)
        assert len(none) == 0 < len(some)
    rows = TABLES["comparison"](make_run(compared=full))
    assert list(rows.columns[-2:]) == ["width:stem", "width:layer1"]
    assert rows.loc[0, "width:stem"] == 6
    first, row = contrasts(full)[0], TABLES["contrasts"](make_run(compared=full)).iloc[0]
    assert (row["name"], row["sentence"], row["shown"]) == ("weights", first.sentence, first.shown)
    assert (row["low"], row["p_adjusted"]) == (first.paired.low, first.adjusted)


@pytest.mark.parametrize(
    ("structures", "arms", "lacking"),
    [
        (["searched", "uniform"], ["finetune", "scratch-b+", "random-channels"], 0),
        (["searched", "uniform"], ["finetune", "random-channels"], 2),
        (["searched", "uniform"], ["finetune", "scratch-b+"], 1),
        (["searched"], list(SIX), 2),
        (["uniform"], list(SIX), 3),
    ],
)
def test_what_is_foreseen_to_have_no_verdict_has_none(
    structures: list[str], arms: list[str], lacking: int
) -> None:
    names = {"searched": "trial 12", "uniform": "uniform"}
    trained = {
        (names[structure], arm): [0.930 + 0.001 * place, 0.934, 0.932]
        for structure in structures
        for place, arm in enumerate(arms)
    }
    notes = [c.note for c in by_name(make_comparison(trained)).values() if c.note]
    said = {note.partition("no verdict on ")[2].partition(":")[0] for note in notes}
    foreseen = [line.partition(", which takes ") for line in unanswered(structures, arms)]
    subjects = {each for line, *_ in foreseen for each in line.partition(" on ")[2].split(" and ")}
    assert len(said) == lacking
    assert subjects == said
    assert all("--arms finetune " in takes for _, _, takes in foreseen)
