"""The section of a comparison in every state: what it says, what it shows, what it draws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import pytest
from comparisons import SIX, full_comparison, make_comparison
from rich.console import Console
from runs import make_run

from results import Comparison, terminal_comparison
from results.contrasts import verdict
from results.reporting.blocks import Bullets, Figure, Paragraph, Section, Table
from results.reporting.plots.comparison import arms
from results.reporting.sections import section


def shown(comparison: Comparison) -> Section:
    return section("comparison", make_run(compared=comparison))


def words(made: Section) -> Iterator[str]:
    for block in made.blocks:
        if isinstance(block, Paragraph):
            yield block.text


def tables(made: Section) -> dict[str, Table]:
    """By the title of their last column."""
    return {b.columns[-1].title: b for b in made.blocks if isinstance(b, Table) and not b.folded}


def test_nothing_until_a_comparison_was_begun() -> None:
    assert not shown(Comparison())


def test_the_verdict_comes_first() -> None:
    comparison = full_comparison()
    made = shown(comparison)
    assert made.title == "Fine-tune or from scratch?"
    first = made.blocks[:3]
    assert [(b.text, b.look) for b in first] == [(s, "verdict") for s in verdict(comparison)]


def test_tables_by_hand() -> None:
    found = tables(shown(full_comparison(("trial 12", "uniform", "slimming"))))
    four = found["fresh weights"]
    assert [row[0] for row in four.rows] == ["searched (trial 12)", "uniform"]
    assert all("(3)" in cell for row in four.rows for cell in row[1:])
    costs = found["× unpruned"]
    assert [row[1] for row in costs.rows] == [*SIX] * 3
    assert [row[-1] for row in costs.rows[:6]] == ["1.12", "1.12", "1.12", "0.50", "1.00", "1.12"]
    assert costs.rows[0][-4:-1] == ["7.50 G", "60.0 G", "67.5 G"]
    assert [row[0] for row in found["shown"].rows] == ["weights", "widths", "channels"]
    sweep = found["chosen"]
    assert sweep.marked == {1}


def test_why_a_rate_has_no_accuracy() -> None:
    full = full_comparison()
    tried = full.sweep[0]
    reasons = ("diverged", "out of memory", "")
    sweep = tuple(replace(tried, reason=reason) for reason in reasons)
    rows = tables(shown(replace(full, sweep=sweep)))["chosen"].rows
    assert [row[4] for row in rows] == ["diverged", "out of memory", "failed"]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (1, "epochs: as much computation in all as finetune."),
        (10, "epochs: 0.11 × the computation of finetune in all."),
    ],
)
def test_the_computation_of_the_arms_is_computed(times: int, said: str) -> None:
    full = full_comparison(("trial 12", "uniform", "slimming"))
    longer = tuple(
        r if r.structure == "slimming" else replace(r, inherited_flops=times * r.inherited_flops)
        for r in full.arms
    )
    (bullets,) = (b for b in shown(replace(full, arms=longer)).blocks if isinstance(b, Bullets))
    assert bullets.lines[-1] == f"scratch-b+: the same and the fine-tuning {said}"


def test_only_what_was_asked_for_is_shown() -> None:
    options = {"structures": ["searched", "uniform"], "arms": ["finetune", "scratch-b+"]}
    made = shown(replace(full_comparison(("trial 12", "uniform", "l1")), options=options))
    costs = tables(made)["× unpruned"]
    assert {row[0] for row in costs.rows} == {"trial 12", "uniform"}
    (bullets,) = (b for b in made.blocks if isinstance(b, Bullets))
    assert len(bullets.lines) == 2
    nothing = shown(replace(full_comparison(), options={"structures": ["thinet"]}, sweep=()))
    assert not tables(nothing)


def test_the_terminal_prints_the_notes() -> None:
    notes = ("the rate was not swept; [red] is no markup", "An end.")
    console = Console(width=80, record=True, file=StringIO())
    console.print(terminal_comparison(replace(full_comparison(), notes=notes)))
    lines = console.export_text().splitlines()
    assert lines[-2:] == ["The rate was not swept; [red] is no markup.", "An end."]


def test_every_table_is_rectangular_and_every_picture_has_one() -> None:
    made = shown(full_comparison(("trial 12", "uniform", "l1", "thinet", "slimming")))
    figures = [b for b in made.blocks if isinstance(b, Figure)]
    assert [f.name for f in figures] == ["comparison-0"]
    assert figures[0].table is not None
    assert len(figures[0].table.rows) == 5 * len(SIX)
    for table in [figures[0].table, *(b for b in made.blocks if isinstance(b, Table))]:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_picture_names_structures_and_arms() -> None:
    made = shown(full_comparison())
    svg = next(b.svg for b in made.blocks if isinstance(b, Figure))
    found = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter()}
    assert {"trial 12", "uniform", "test accuracy, %", *SIX} <= found


def test_the_picture_is_the_same_every_time_and_bears_failures() -> None:
    lines = [("a$b", "finetune", [0.9]), ("a$b", "scratch-e", []), ("c", "scratch-b", [0.8, 0.8])]
    assert arms("x", lines) == arms("x", lines)


def test_how_it_was_done_is_said() -> None:
    comparison = full_comparison()
    said = " ".join(words(shown(comparison)))
    assert "The test split was read 36 times here, once for each trained network." in said
    assert "after the last epoch, never the best" in said
    assert "The rate of training from scratch was not swept." in said
    assert "nor the search is repeated" in said
    assert "holds for these inherited weights" in said
    assert "added after a look at the result make a claim weaker" in said
    assert "bootstrap" not in said
    assert "not finished" not in said


def test_a_run_that_asked_for_a_bootstrap_is_shown_with_t_and_says_so() -> None:
    usual = full_comparison()
    old = replace(usual, options={"seeds": 3, "interval": "bootstrap"})
    assert verdict(old) == verdict(usual)
    said = "A bootstrap was asked for, but the intervals are Student-t: "
    assert said in " ".join(words(shown(old)))
    console = Console(width=400, record=True, file=StringIO())
    console.print(terminal_comparison(old))
    assert said in console.export_text()


def test_one_seed_is_said_to_give_no_interval() -> None:
    said = " ".join(words(shown(full_comparison(seeds=1))))
    assert "It has one seed, so no interval can be given" in said


def test_states_of_a_comparison_that_runs() -> None:
    full = full_comparison()
    only_sweep = shown(Comparison(sweep=full.sweep))
    assert "so far it has 0 trainings" in " ".join(words(only_sweep))
    assert "The test split has not been read here yet." in " ".join(words(only_sweep))
    one = shown(replace(full, arms=full.arms[:1], sweep=(), complete=False))
    assert "so far it has 1 training." in " ".join(words(one))
    assert "there is no verdict on inherited weights" in " ".join(words(one))


def test_failures_alone() -> None:
    cells = {("uniform", arm): [math.nan, math.nan] for arm in SIX}
    made = shown(make_comparison(cells))
    assert "12 trainings failed and are left out" in " ".join(words(made))
    assert {row[4] for row in tables(made)["× unpruned"].rows} == {"2"}
