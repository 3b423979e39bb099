"""The section on learning rates."""

from __future__ import annotations

import math
from dataclasses import replace

from runs import make_run

from results.reporting.blocks import Paragraph, Table
from results.reporting.sections import rates
from results.sweep import SweepPoint

POINTS = tuple(
    SweepPoint("0.5", rate, epochs, seed, accuracy, chosen, "", serves)
    for rate, epochs, seed, accuracy, chosen, serves in [
        *((0.1, 1, 0, math.nan, False, 1), (0.1, 1, 1, 0.5, False, 1)),
        *((0.01, 1, 0, 0.8, True, 1), (0.01, 1, 1, 0.9, True, 1)),
        *((0.1, 4, 0, 0.95, True, 12), (0.1, 4, 1, 0.85, True, 12)),
        *((0.01, 4, 0, 0.7, False, 12), (0.01, 4, 1, 0.7, False, 12)),
    ]
)


def shown(*points: SweepPoint) -> Table:
    words, table = rates.blocks(make_run(swept=points))
    assert isinstance(words, Paragraph)
    assert isinstance(table, Table)
    return table


def test_a_row_for_each_length_and_the_mean_under_each_rate() -> None:
    table = shown(*POINTS)
    assert [column.title for column in table.columns] == [
        *("epochs", "chosen", "tried for", "0.01", "0.1")
    ]
    assert [list(row) for row in table.rows] == [
        ["1", "0.01", "1 epoch", "85.00", "failed"],
        ["12", "0.1", "4 epochs", "70.00", "90.00"],
    ]


def test_several_budgets_are_told_apart_and_before_all_is_tried_none_is_chosen() -> None:
    table = shown(*POINTS, replace(POINTS[2], budget="0.3", chosen=False))
    assert table.columns[0].title == "budget"
    assert list(table.rows[-1]) == ["0.3", "1", "–", "1 epoch", "80.00", "–"]


def test_nothing_where_there_was_no_sweep() -> None:
    assert not list(rates.blocks(make_run()))
