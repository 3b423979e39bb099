"""The sections of analyses in every state of a run, and that each picture has its table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from runs import make_run

from results import Comparison, Run, TrialRecord, text
from results.metric import ACCURACY
from results.reporting.blocks import Bullets, Figure, Paragraph, Section, Table
from results.reporting.networks import networks
from results.reporting.origins import described, origin_of
from results.reporting.sections import section as made
from results.reporting.sections import widths
from results.sensitivity import SensitivityRecord
from spaces import Policy

NAMES = ("front", "widths", "search", "trust", "spending")
CONFIG: dict[str, Any] = {
    "policies": {"starts": ["l1"]},
    "judging": {"rungs": [1, 3], "eta": 2.0, "explore": 0.1},
}


def prose(section: Section) -> str:
    parts: list[str] = []
    for block in section.blocks:
        if isinstance(block, Paragraph):
            parts.append(block.text)
        elif isinstance(block, Bullets):
            parts += block.lines
    return "\n".join(parts)


def tables(section: Section) -> list[Table]:
    """Those that stand alone, and those of the pictures."""
    found = [b if isinstance(b, Table) else getattr(b, "table", None) for b in section.blocks]
    return [table for table in found if table is not None]


def figures(section: Section) -> list[Figure]:
    return [block for block in section.blocks if isinstance(block, Figure)]


def table_with(section: Section, title: str) -> Table:
    return next(t for t in tables(section) if title in [c.title for c in t.columns])


def states(records: Sequence[TrialRecord], finals: Any, provenance: Any) -> dict[str, Run]:
    timed = [replace(r, rung_seconds=(0.5,) + (1.0,) * r.rung) for r in records]
    full = provenance | {"config": CONFIG, "train_images": 100, "base_epochs": 20.0}
    repeats = [replace(records[1], seed=9, accuracy=(math.nan, 0.87), rung_seconds=())]
    return {
        "nothing": make_run([], [], {}),
        "nothing but provenance": make_run([], [], provenance),
        "failed only": make_run([records[7]], [], provenance),
        "running only": make_run([replace(records[8], accuracy=(), proxies={})], [], provenance),
        "stopped by proxies": make_run([replace(records[6], accuracy=())], [], full),
        "one trained": make_run([records[6]], [], provenance),
        "old records": make_run(records, finals, provenance),
        "no provenance": make_run(records, finals, {}),
        "no finals": make_run(timed, [], full),
        "all": make_run(timed, finals, full, repeats=repeats),
    }


STATES = [
    "nothing",
    "nothing but provenance",
    "failed only",
    "running only",
    "stopped by proxies",
    "one trained",
    "old records",
    "no provenance",
    "no finals",
    "all",
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", NAMES)
def test_every_section_in_every_state(name, state, records, finals, provenance) -> None:
    section = made(name, states(records, finals, provenance)[state])
    assert section.anchor == name
    drawn = figures(section)
    assert len({figure.name for figure in drawn}) == len(drawn)
    for figure in drawn:
        assert figure.svg.startswith("<svg")
        assert figure.caption
        # Its table stands under it, or apart in the same section.
        assert figure.table is not None or any(isinstance(b, Table) for b in section.blocks)
    for table in tables(section):
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        assert all(isinstance(cell, str) for row in table.rows for cell in row)
        assert all(0 <= place < len(table.rows) for place in table.marked)
        assert "nan" not in " ".join(cell for row in table.rows for cell in row)
    assert "nan" not in prose(section).split()


def test_the_states_are_all_there(records, finals, provenance) -> None:
    assert list(states(records, finals, provenance)) == STATES


def test_where_criteria_were_searched_it_says_which_did_best(record) -> None:
    def made_by(number: int, criterion: str, accuracy: tuple[float, ...], **about: Any) -> Any:
        return record(number, accuracy, criterion=criterion, flops=500_000, **about)

    trials = [
        made_by(0, "l1", (0.80, 0.86), origin="uniform"),
        made_by(1, "thinet", (0.70,), origin="uniform", state="stopped"),
        made_by(2, "thinet", (0.80, 0.90)),
        made_by(3, "l1", (0.80, 0.88)),
        made_by(4, "l1", (0.80, 0.83)),
        made_by(5, "l1", (0.80, 0.83), policy=record(4).policy, seed=104, reason="as trial 4"),
    ]
    run = make_run(trials, [], {"budgets": {"0.5": 500_000}})
    (table,) = tables(made("criteria", run))
    assert table.rows == [
        ["0.5", "l1", "4", "3", "88.00", "86.00", "86.00"],
        ["0.5", "thinet", "2", "1", "90.00", "90.00", "70.00 (stopped at rung 1)"],
    ]
    assert [row.name for row in networks(run)] == ["uniform at 0.5 (l1)", "trial 2 (tpe, thinet)"]
    assert not made("criteria", make_run(trials[3:], [], {}))
    assert not made("criteria", make_run([], [], {}))


def test_before_the_first_trial_only_what_must_speaks() -> None:
    run = make_run([], [], {})
    assert [name for name in NAMES if made(name, run)] == ["search", "trust"]
    assert prose(made("search", run)).startswith("0 trials: 0 complete")


def test_origins_are_told_apart_by_the_config(record) -> None:
    run = make_run([], [], {"config": CONFIG})
    trials = [record(0, origin=o) for o in ("uniform", "l1", "random", "tpe", "taylor_2019")]
    assert [origin_of(run, r) for r in trials] == [
        "uniform",
        "ranking",
        "random",
        "searched",
        "searched",
    ]
    assert described(run, trials[1]) == "global ranking (l1)"
    assert origin_of(make_run([], [], {}), trials[1]) == "searched"


def test_the_front_and_what_it_has_to_beat_stand_in_one_table(records, finals, provenance) -> None:
    trials = [replace(records[2], origin="l1") if r.number == 2 else r for r in records]
    section = made("front", make_run(trials, finals, provenance | {"config": CONFIG}))
    picture = next(figure for figure in figures(section) if figure.name == "front")
    assert picture.table is not None
    # Trial 5 dominates all; uniform is trial 0 and the ranking trial 2. By rising flops.
    assert [row[0] for row in picture.table.rows] == ["5", "2", "0"]
    assert picture.table.marked == frozenset({0})
    assert picture.table.rows[1][1] == "global ranking (l1)"


def test_the_finals_have_their_t_interval(records, finals, provenance) -> None:
    section = made("front", make_run(records, finals, provenance))
    table = table_with(section, "test %, final")
    uniform = next(row for row in table.rows if row[0] == "uniform at 0.5")
    # 90.0, 90.2, 90.4: t(0.975, 2) · 0.2 / √3 = 0.497.
    assert uniform[3] == "90.20 ± 0.50"
    assert uniform[2] == "86.00"
    by_seed = table_with(section, "seed")
    assert len(by_seed.rows) == 9
    assert by_seed.folded == "The final trainings, seed by seed"


def test_one_seed_has_no_interval(records, finals, provenance) -> None:
    single = [replace(f, seeds=(0,), val_accuracy=(0.9,), test_accuracy=(0.9,)) for f in finals]
    table = table_with(made("front", make_run(records, single, provenance)), "test %, final")
    assert {row[3] for row in table.rows} == {"90.00"}


def test_widths_stand_from_the_original_to_the_front(records, finals, provenance) -> None:
    run = make_run(records, finals, provenance)
    assert list(widths.columns(run)) == ["uniform at 0.5", "★ trial 5, 50.0 %"]
    table = table_with(made("widths", run), "original")
    assert table.rows[1] == ["layer1.conv1", "16", "2", "7"]
    # Uniform widths on the front are shown once.
    alone = make_run([records[0]], [], provenance)
    assert list(widths.columns(alone)) == ["uniform at 0.5"]


@pytest.mark.parametrize(("groups", "parts"), [(3, 1), (40, 1), (41, 2), (120, 3)])
def test_many_groups_are_split_and_none_is_lost(record, provenance, groups, parts) -> None:
    names = [f"block{i}.conv" for i in range(groups)]
    provenance["groups"] = [{"name": name, "channels": 64} for name in names]
    policy = Policy({name: 1 + i % 64 for i, name in enumerate(names)})
    drawn = figures(
        made("widths", make_run([record(1, (0.5, 0.6), policy=policy)], [], provenance))
    )
    assert len(drawn) == parts
    assert [row[0] for figure in drawn for row in figure.table.rows] == names
    assert max(len(figure.table.rows) for figure in drawn) <= widths.AT_ONCE


def test_the_search_counts_its_trials(records, provenance) -> None:
    said = prose(made("search", make_run(records, [], provenance)))
    assert "9 trials: 6 complete, 1 stopped at a rung, 1 failed, 1 running." in said
    assert "9 of 9 are at or under the budget, and 8 of those were trained." in said
    reasons = table_with(made("search", make_run(records, [], provenance)), "reason")
    assert reasons.rows == [["1", "training diverged at step 12"]]


def test_hypervolume_has_a_row_wherever_a_line_rises(record, provenance) -> None:
    trials = [
        record(0, (0.5, 0.80), flops=500_000, origin="uniform"),
        record(1, (0.5, 0.70), flops=500_000),
        record(2, (0.5, 0.90), flops=500_000, origin="random"),
        record(3, (0.5,), state="stopped"),
    ]
    table = table_with(made("search", make_run(trials, [], provenance)), "starts alone")
    assert table.rows == [
        ["1", "0.40000", "0.40000", "–"],
        ["3", "0.45000", "0.40000", "0.45000"],
        ["4", "0.45000", "0.40000", "0.45000"],
    ]


def test_widths_by_a_sensitivity_are_starts(record, provenance) -> None:
    trials = [record(0, (0.5, 0.80), flops=500_000, origin="iso_damage")]
    measured = [SensitivityRecord("iso_damage", "loss", "stem", 16, (8,), (0.5,))]
    section = made("search", make_run(trials, [], provenance, measured=measured))
    assert table_with(section, "starts alone").rows == [["1", "0.40000", "0.40000"]]
    (caption,) = [f.caption for f in section.blocks if getattr(f, "name", "") == "hypervolume"]
    assert "(uniform widths, global rankings and widths by sensitivity)" in caption


def test_rungs_say_who_was_stopped_where(records, provenance) -> None:
    section = made("search", make_run(records, [], provenance | {"config": CONFIG}))
    table = table_with(section, "promoted")
    # All nine have proxies. 6 stopped at rung 1, 7 failed there, 8 runs at 2, six are complete.
    assert table.rows == [
        ["0 (proxies)", "9", "9", "0", "0", "0", "0", "0"],
        ["1 (1 epoch)", "9", "7", "0", "1", "0", "1", "0"],
        ["2 (3 epochs)", "7", "0", "0", "0", "6", "0", "1"],
    ]
    assert "Whether they were stopped rightly cannot be said" in prose(section)


def test_few_explored_trials_are_counted_and_not_judged(record, provenance) -> None:
    trials = [record(i, (0.5, 0.9 - 0.01 * i), flops=500_000) for i in range(4)]
    trials += [record(4, (0.5, 0.95), flops=500_000, explored=(0,))]
    trials += [record(5, (0.5, 0.10), flops=500_000, explored=(0,))]
    section = made("search", make_run(trials, [], provenance | {"config": CONFIG}))
    assert (
        "1 of the 2 that came to the top only because they were explored would have been kept "
        "there by the rule, and 1 is on the front: too few to say." in prose(section)
    )
    rows = table_with(section, "came to the top").rows
    assert rows[0][:3] == ["explored, against rung 0", "2", "1"]
    # Of six the best three pass: trials 4, 0 and 1.
    assert rows[1][:3] == ["promoted", "4", "2"]


def test_many_explored_trials_are_judged_with_an_interval(record, provenance) -> None:
    trials = [
        record(i, (0.5, 0.9 - 0.01 * i), flops=500_000, explored=(0,) if i >= 10 else ())
        for i in range(20)
    ]
    said = prose(made("search", make_run(trials, [], provenance | {"config": CONFIG})))
    # Wilson for 0 of 10 ends at z² / (n + z²) = 3.8415 / 13.8415.
    assert "0 of the 10 that came to the top only because they were explored" in said
    assert "of the stops 0 % [0, 28] look wrong, against 100 % of those that were promoted" in said


def test_trust_says_what_noise_and_choice_leave_open(records, finals, provenance) -> None:
    run = make_run(records, finals, provenance)
    said = prose(made("trust", run))
    assert "no policy was trained again with another seed" in said
    again = [replace(records[1], seed=9, accuracy=(math.nan, 0.87))]
    said = prose(made("trust", make_run(records, finals, provenance, repeats=again)))
    # 0.86 and 0.87: s = 0.01 / √2 = 0.71 points.
    assert "1 policy trained with several seeds at this rung differs" in said
    assert "0.71 points" in said
    assert "from too few policies for an interval" in said


def test_trust_shows_what_exploration_corrects(record, provenance) -> None:
    trials = [
        record(i, (0.5 + 0.01 * ((7 * i) % 12),), explored=(0,) if i < 6 else ()) for i in range(12)
    ]
    nobody = made("trust", make_run(trials, [], provenance))
    assert "Nothing was stopped below this rung" in prose(nobody)
    stopped = [record(20 + i, state="stopped") for i in range(4)]
    section = made("trust", make_run([*trials, *stopped], [], provenance))
    assert "The 6 policies that came to this rung by being explored" in prose(section)
    corrected = [t for t in tables(section) if len(t.columns) == 3]
    assert [row[0] for row in corrected[0].rows] == [
        "adaptive_bn",
        "flops (control)",
        "params (control)",
    ]


def test_trust_says_what_exploration_cannot_correct(record, provenance) -> None:
    trials = [
        record(i, (0.5, 0.5 + 0.01 * ((7 * i) % 12)), explored=(0,) if i < 6 else ())
        for i in range(12)
    ]
    stopped = record(20, (0.5,), state="stopped")
    section = made("trust", make_run([*trials, stopped], [], provenance))
    assert (
        "6 policies came to this rung by being explored, too few to correct for that: it "
        "takes 5, and one for every rung that stopped any." in prose(section)
    )


def test_every_score_stands_in_the_table_of_the_picture(records, provenance) -> None:
    (figure,) = figures(made("trust", make_run(records, [], provenance)))
    assert figure.table is not None
    titles = [column.title for column in figure.table.columns]
    assert titles[-3:] == ["adaptive_bn", "flops", "params"]
    assert len(figure.table.rows) == 6


def test_spending_names_what_is_not_known(records, finals, provenance) -> None:
    rows = {
        row[0]: row[1:]
        for row in table_with(made("spending", make_run(records, finals, provenance)), "part").rows
    }
    # Old records: no seconds a rung, no images, so neither seconds nor FLOPs.
    assert rows["rung 2"] == ["6", "–", "–"]
    assert figures(made("spending", make_run(records, finals, provenance))) == []
    said = prose(made("spending", make_run(records, finals, provenance)))
    assert "seconds of final trainings of older runs" in said
    assert "sparse training" not in said


def test_spending_shows_the_training_that_slimming_takes(records, provenance) -> None:
    compared = Comparison(sparse_flops=7_000_000, sparse_seconds=12.0)
    section = made("spending", make_run(records, [], provenance, compared=compared))
    rows = {row[0]: row[1:] for row in table_with(section, "part").rows}
    assert rows["sparse training, of slimming"] == ["1", "7.00 M", "12.0"]
    assert "Slimming finds its widths by the sparse training." in prose(section)


def test_spending_says_what_stopping_was_worth(record, provenance) -> None:
    about = provenance | {"config": CONFIG, "train_images": 100}
    trials = [
        record(0, (0.5, 0.6), flops=500_000, rung_seconds=(1.0, 10.0, 30.0)),
        record(1, flops=400_000, state="stopped", rung_seconds=(1.0,)),
    ]
    section = made("spending", make_run(trials, [], about))
    rows = {row[0]: row[1:] for row in table_with(section, "part").rows}
    # 3 × 500,000 × 100 × 1 and × 3; spared: 3 × 400,000 × 100 × 4, at 15 M a second both.
    assert rows["rung 1"] == ["1", "150 M", "10.0"]
    assert rows["rung 2"] == ["1", "450 M", "30.0"]
    assert rows["saved: stopped by proxies"] == ["1", "−480 M", "−32.0"]
    said = prose(section)
    assert "stopped 1 of 2 policies before any training" in said
    assert "would have taken 32 s: net, they saved 30 s." in said
    # At once: 3 × 900,000 × 100 × 3 = 810 M, against 600 M.
    assert "810 M training FLOPs. The rungs took 600 M, 26 % less." in said


def test_correlations_and_means_as_they_are_written() -> None:
    assert text.correlation(-0.314) == "−0.31"
    assert text.correlation(None) == text.correlation(math.nan) == "–"
    assert text.between(0.5, -0.1, 0.9) == "0.50 [−0.10, 0.90]"
    assert text.between(0.5, math.nan, math.nan) == "0.50"
    assert ACCURACY.mean_interval([]) == "–"
    assert ACCURACY.mean_interval([0.9, 0.9]) == "90.00"
