"""Where the gain comes from: the differences by hand, what is said of them, and where it stands."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from rich.console import Console
from runs import make_run

import results
from results import GainStep, store
from results.gains import DISTILLED, PLAIN, REPAIRED, SEARCHED, by_budget, gains, sentence, together
from results.reporting import document
from results.reporting.blocks import Figure, Paragraph, Table
from results.reporting.html import html
from results.reporting.markdown import markdown
from results.reporting.plots.gains import waterfall
from results.reporting.sections import section
from results.spending import spent
from results.training import GAINS, TrainingRecord, TrainingSpec
from spaces import Policy

UNIFORM, FOUND = Policy({"stem": 8, "conv": 8}), Policy({"stem": 12, "conv": 5})


def step(name: str, *accuracy: float, **changes: Any) -> GainStep:
    """A step at budget 0.5 with one accuracy a seed; ``changes`` overrides any field."""
    searched = name in (SEARCHED, DISTILLED)
    plain = name == PLAIN
    fields: dict[str, Any] = {
        "budget": "0.5",
        "step": name,
        "name": "trial 5" if searched else "uniform@0.5",
        "policy": FOUND if searched else UNIFORM,
        "criterion": "l1" if plain else "obs",
        "surgery": "plain" if plain else "reconstruct",
        "distill": 0.9 if name == DISTILLED else 0.0,
        "temperature": 4.0 if name == DISTILLED else 0.0,
        "flops": 480_000 if searched else 490_000,
        "flops_fraction": 0.48 if searched else 0.49,
        "epochs": 8,
        "seeds": tuple(range(len(accuracy))),
        "val_accuracy": accuracy,
        "test_accuracy": accuracy,
    }
    return GainStep(**fields | changes)


@pytest.fixture
def steps() -> list[GainStep]:
    """Differences of 10, 11 and 9 points, then of 0.5, 0 and 1, then of −1, −1 and −1.3."""
    return [
        step(PLAIN, 0.80, 0.81, 0.82),
        step(REPAIRED, 0.90, 0.92, 0.91),
        step(SEARCHED, 0.905, 0.920, 0.920),
        step(DISTILLED, 0.895, 0.910, 0.907),
    ]


def test_a_record_is_read_back_as_it_was_written(steps: list[GainStep]) -> None:
    assert [GainStep.from_json(each.to_json()) for each in steps] == steps


def test_gains_are_paired_by_seed_with_their_intervals(steps: list[GainStep]) -> None:
    first, repaired, searched, distilled = gains(steps)
    assert (first.before, first.paired.n, first.shown) == (None, 0, False)
    # t(0.975, 2) = 4.302653; standard deviations 0.01 and 0.005, over √3.
    assert repaired.paired.difference == pytest.approx(0.10)
    assert repaired.paired.half_width == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-6)
    assert searched.paired.difference == pytest.approx(0.005)
    assert searched.paired.half_width == pytest.approx(4.302653 * 0.005 / 3**0.5, rel=1e-6)
    assert [g.figure for g in (repaired, searched, distilled)] == [
        *("+10.00 ± 2.48", "+0.50 ± 1.24", "−1.10 ± 0.43")
    ]
    # With two degrees of freedom p = 1 - t / √(2 + t²), t being the mean over s / √3.
    p = [1 - t / (2 + t**2) ** 0.5 for t in (10 * 3**0.5, 3**0.5, 11.0)]
    assert [g.paired.p_value for g in (repaired, searched, distilled)] == pytest.approx(p)
    holm = [3 * p[0], p[1], 2 * p[2]]
    assert [g.adjusted for g in (repaired, searched, distilled)] == pytest.approx(holm)
    assert [g.side for g in (repaired, searched, distilled)] == ["above", "around", "below"]
    assert [g.shown for g in (repaired, searched, distilled)] == [True, False, True]
    assert together(gains(steps)).figure == "+9.40 ± 1.63"


def test_only_seeds_that_both_have_are_compared(steps: list[GainStep]) -> None:
    lacking = replace(steps[1], seeds=(0, 2), val_accuracy=(0.9, 0.91), test_accuracy=(0.9, 0.91))
    (_, gain) = gains([steps[0], lacking])
    assert (gain.paired.n, round(gain.paired.difference, 4)) == (2, 0.095)
    apart = replace(lacking, seeds=(7, 8))
    assert sentence(gains([steps[0], apart])) == (
        "At budget 0.5 no two steps share a seed that both were trained with."
    )


def test_budgets_are_apart_but_corrected_together(steps: list[GainStep]) -> None:
    other = [replace(each, budget="0.3") for each in steps[:2]]
    every = gains([*steps[:2], *other])
    assert [g.before is None for g in every] == [True, False, True, False]
    assert {g.comparisons for g in every} == {2}
    assert every[1].adjusted == pytest.approx(2 * every[1].paired.p_value)
    assert list(by_budget([*steps, *other])) == ["0.5", "0.3"]
    assert list(by_budget([*steps, other[0]])) == ["0.5"]  # one step has nothing to stand against


def test_what_changed_is_said_in_words(steps: list[GainStep]) -> None:
    assert [g.changed for g in gains(steps)] == [
        "uniform widths, channels by l1, plain cut",
        "channels by obs, surgery reconstruct",
        "widths of trial 5",
        "distilled (weight 0.9, temperature 4)",
    ]
    fresh = replace(steps[0], criterion="", surgery="")
    (gain,) = gains([fresh])
    assert gain.changed == "uniform widths, fresh weights"


def test_the_sentence_says_which_step_gave_most_and_where_each_interval_lies(
    steps: list[GainStep],
) -> None:
    assert sentence(gains(steps)) == (
        "At budget 0.5 the step to “repaired uniform” gave most: +10.00 ± 2.48 points of test "
        "accuracy (95 % interval over 3 seeds); it is shown to be a gain; “searched widths” is not "
        "shown to change anything; “distilled” is shown to be a loss."
    )
    weak = [steps[1], steps[2]]
    assert sentence(gains(weak)) == (
        "At budget 0.5 the step to “searched widths” gave +0.50 ± 1.24 points of test accuracy "
        "(95 % interval over 3 seeds); it is not shown to change anything."
    )
    assert sentence(gains([*weak, replace(steps[2], step="more", policy=UNIFORM)])).startswith(
        "At budget 0.5 the largest difference is that of the step to “searched widths”: +0.50 ± "
    )
    assert sentence(gains(steps[2:])).startswith(
        "At budget 0.5 no step raised the mean, the step to “distilled” came closest: −1.10 ± 0.43"
    )


def test_what_holds_only_alone_is_not_claimed() -> None:
    # t = 5: p = 0.0377 alone, and twice that with the other step allowed for.
    spread = 0.01 * 3**0.5 / 5
    first = step(PLAIN, 0.8, 0.8, 0.8)
    second = step(REPAIRED, 0.81 - spread, 0.81, 0.81 + spread)
    third = step(SEARCHED, 0.81, 0.81, 0.81 + spread)
    gain = gains([first, second, third])[1]
    assert (round(gain.paired.p_value, 4), round(gain.adjusted, 4)) == (0.0377, 0.0755)
    assert (gain.side, gain.shown) == ("alone", False)
    said = sentence(gains([first, second, third]))
    assert "“repaired uniform”: +1.00 ± 0.86 points" in said
    assert "it is shown alone, but not when all 2 steps are allowed for (Holm: p = 0.075)" in said


def test_with_one_seed_there_is_no_interval_and_no_claim() -> None:
    said = sentence(gains([step(PLAIN, 0.8), step(REPAIRED, 0.9), step(SEARCHED, 0.91)]))
    assert said == (
        "At budget 0.5 the largest difference is that of the step to “repaired uniform”: +10.00 "
        "points of test accuracy; with one seed no interval can be given, so no gain is shown."
    )
    same = sentence(gains([step(PLAIN, 0.80, 0.81), step(REPAIRED, 0.90, 0.91)]))
    assert same.endswith("as every seed differs by the same and no interval can be given.")


def test_a_search_that_found_uniform_widths_gains_nothing(steps: list[GainStep]) -> None:
    found = replace(steps[1], step=SEARCHED, name="trial 0")
    own = gains([*steps[:2], found])
    assert (own[2].same, own[2].figure) == (True, "same network")
    assert own[2].changed == "nothing: the search found nothing better than uniform widths"
    assert sentence(own).endswith("; the search found nothing better than uniform widths.")
    assert sentence(gains([steps[1], found])) == (
        "At budget 0.5 the search found nothing better than uniform widths."
    )


def test_the_study_keeps_them_and_a_damaged_one_is_named(steps: list[GainStep]) -> None:
    study = optuna.create_study()
    store.save(study, store.GAINS, steps)
    assert store.load(study, store.GAINS) == tuple(steps)
    texts = study.user_attrs["gains"]
    study.set_user_attr("gains", [texts[0], texts[1][:40], *texts[2:]])
    assert store.load(study, store.GAINS) == (steps[0], *steps[2:])
    assert store.left_out(study) == ["the record of gain step 1 is damaged and was left out"]
    assert store.load(optuna.create_study(), store.GAINS) == ()  # of an older version


def test_a_run_offers_them_as_a_table(tmp_path: Path, steps: list[GainStep]) -> None:
    run = make_run(gain_steps=steps)
    results.write_tables(tmp_path, run)
    frame = run.gains
    assert frame["step"].tolist() == [PLAIN, REPAIRED, SEARCHED, DISTILLED]
    assert frame["seeds"].tolist() == [3, 3, 3, 3]
    assert frame["test_accuracy"].round(4).tolist() == [0.81, 0.91, 0.915, 0.904]
    assert frame["gain"].isna().tolist() == [True, False, False, False]
    assert frame["gain"].round(4).tolist()[1:] == [0.1, 0.005, -0.011]
    assert frame["shown"].tolist() == [False, True, False, True]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "gains.parquet"), frame)
    assert len(pd.read_csv(tmp_path / "gains.csv")) == 4
    results.write_tables(tmp_path, make_run())
    assert not list(tmp_path.glob("gains*"))


def test_the_section_has_the_sentence_a_picture_and_a_table(finals, steps) -> None:
    said, figure, table, method = section("gains", make_run([], finals, gain_steps=steps)).blocks
    assert said == Paragraph(sentence(gains(steps)), "verdict")
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert [column.title for column in table.columns] == [
        *("step", "what changed", "test %", "gain, points", "adjusted p", "% of FLOPs", "seeds")
    ]
    assert [[row[0], *row[2:4], *row[5:]] for row in table.rows] == [
        ["unpruned network", "90.00", "–", "100.0", "1"],
        [PLAIN, "81.00", "–", "49.0", "3"],
        [REPAIRED, "91.00", "+10.00 ± 2.48", "49.0", "3"],
        [SEARCHED, "91.50", "+0.50 ± 1.24", "48.0", "3"],
        [DISTILLED, "90.40", "−1.10 ± 0.43", "48.0", "3"],
        ["all steps together", "–", "+9.40 ± 1.63", "–", "–"],
    ]
    assert table.marked == {2, 4}
    assert figure.table is not None
    assert len(figure.table.rows) == 12
    assert figure.table.rows[3][1:] == [REPAIRED, "0", "90.00", "+10.00"]
    assert "Student-t" in method.text  # type: ignore[union-attr]


def test_several_budgets_stand_in_one_table_and_one_picture(finals, steps) -> None:
    both = [*steps[:3], *(replace(each, budget="0.3") for each in steps[:2])]
    first, second, figure, table, _ = section("gains", make_run([], finals, gain_steps=both)).blocks
    assert first.text.startswith("At budget 0.5 ")  # type: ignore[union-attr]
    assert second.text.startswith("At budget 0.3 ")  # type: ignore[union-attr]
    assert [row[0] for row in table.rows] == ["", *["0.5"] * 4, *["0.3"] * 2]  # type: ignore[union-attr]
    assert "budget 0.3" in figure.svg  # type: ignore[union-attr]


def test_it_stands_behind_the_verdict_in_both_reports(records, finals, provenance, steps) -> None:
    made = document(make_run(records, finals, provenance, gain_steps=steps))
    assert [s.anchor for s in made.sections][:4] == ["decision", "summary", "gains", "front"]
    assert '<section id="gains"' in html(made)
    words, pictures = markdown(made, "figures")
    assert "## Where the gain comes from" in words
    assert r"| **\+10.00 ± 2.48** |" in words
    assert "figures/gains.svg" in pictures


def test_a_run_without_steps_says_nothing_of_them(records, finals, provenance, steps) -> None:
    for few in ([], steps[:1]):
        made = make_run(records, finals, provenance, gain_steps=few)
        assert not section("gains", made)
        assert "gain" not in printed(made)


def test_the_picture_has_every_figure_in_letters_and_losses_are_hatched(steps) -> None:
    svg = waterfall(by_budget(steps), 0.94)
    for words in ("81.00 %", "+10.00 ± 2.48", "−1.10 ± 0.43", "unpruned 94.00", REPAIRED):
        assert words in svg
    assert "budget" not in svg
    assert svg.count("<pattern") == 1
    assert "<pattern" not in waterfall(by_budget(steps[:3]), None)
    assert "unpruned" not in waterfall(by_budget(steps[:3]), None)


def printed(run: results.Run) -> str:
    file = io.StringIO()
    Console(width=80, file=file).print(results.terminal_table(run))
    return file.getvalue()


def test_the_terminal_has_one_short_table(records, finals, provenance, steps) -> None:
    said = printed(make_run(records, finals, provenance, gain_steps=steps))
    assert max(map(len, said.splitlines())) <= 80
    _, _, table = said.partition("\n\nwhere the gain comes from")
    assert [" ".join(line.split()) for line in table.splitlines()] == [
        "test % gain, 95 % interval (seeds) FLOPs %",
        "plain uniform 81.00 – 49.0",
        "repaired uniform 91.00 +10.00 ± 2.48 (3) 49.0",
        "searched widths 91.50 +0.50 ± 1.24 (3) 48.0",
        "distilled 90.40 −1.10 ± 0.43 (3) 48.0",
    ]
    one = [replace(s, seeds=(0,), test_accuracy=s.test_accuracy[:1]) for s in steps]
    assert "+10.00 (1)" in printed(make_run(records, finals, provenance, gain_steps=one))


def test_what_they_cost_is_told() -> None:
    how = TrainingSpec(0.01, 8, surgery="plain")
    record = TrainingRecord(
        GAINS, results.Candidate(UNIFORM, "l1"), how, 0, 500, 12_000, 2.0, 0.9, 0.9
    )
    run = make_run(training_records=(record,))
    (line,) = spent(run)
    assert (line.what, line.trainings, line.flops) == ("gain steps", 1, 12_000)
    assert run.trainings["surgery"].tolist() == ["plain"]


def test_older_records_and_what_is_found_by_a_spec_stay() -> None:
    assert "surgery" not in repr(TrainingSpec(0.01, 8))
    assert repr(TrainingSpec(0.01, 8, surgery="plain")).endswith("zeros=0.0, surgery='plain')")
    record = TrainingRecord("finals", results.Candidate(UNIFORM), TrainingSpec(0.01, 8), 0, 1, 1)
    text = record.to_json()
    assert ', "surgery": ""' in text
    assert repr(TrainingRecord.from_json(text.replace(', "surgery": ""', ""))) == repr(record)
