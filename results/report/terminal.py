"""The table a run ends with, for an 80-column terminal.

>>> rich.console.Console().print(terminal_table(records, finals, provenance))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from results import text
from results.arms import ArmRecord, Comparison
from results.compare import verdicts
from results.comparison_tables import arm_means
from results.contrasts import verdict
from results.record import FinalRecord, TrialRecord
from results.report.view import Row, View

MOST_ROWS = 24


def terminal_table(
    records: Sequence[TrialRecord],
    finals: Sequence[FinalRecord],
    provenance: Mapping[str, Any],
) -> RenderableType:
    """Baseline, uniform widths and the searched front of every budget, then the verdicts.

    The arguments are those of `results.report`. Long fronts are cut; ``pareto.csv`` has them all.
    """
    view = View(records, finals, provenance)
    rows = view.rows()
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=26)
    for title in ("FLOPs", "FLOPs %", "params", "val %", "test % (seeds)"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows[:MOST_ROWS]:
        table.add_row(*_cells(row), style="bold" if row.best else "")
    notes = [Text(f"... and {len(rows) - MOST_ROWS} more in pareto.csv")] * (len(rows) > MOST_ROWS)
    if line := text.not_counted(provenance.get("uncounted") or ()):
        notes.append(Text(text.sentence(line)))
    sentences = [Text(v.sentence) for v in verdicts(finals, view.budgets)]
    return Group(table, *notes, Text(), *sentences)


def terminal_comparison(comparison: Comparison) -> RenderableType:
    """Every structure in every arm, what it cost, and then what can be said, with its notes.

    >>> Console().print(terminal_comparison(run.compared))
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for title in ("budget", "widths", "trained"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=18)
    for title in ("epochs", "test % (seeds)", "FLOPs", "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    before = ("", "")
    for row in arm_means(comparison).to_dict("records"):
        place = (row["budget"], row["structure"])
        first = ("", "") if place == before else place
        before = place
        known = [r.test_accuracy for r in comparison.arms if _cell(r) == (*place, row["arm"])]
        accuracy = text.mean_spread([value for value in known if not math.isnan(value)])
        cost = text.NONE if math.isnan(row["total_relative"]) else f"{row['total_relative']:.2f}"
        spent = text.count(row["total_flops"])
        cells = (*first, row["arm"], row["epochs"], f"{accuracy} ({row['n']})", spent, cost)
        table.add_row(*(Text(str(cell)) for cell in cells))
    costs = "FLOPs of all training, that of inherited weights included; cost: the same in\n"
    costs += "trainings of the unpruned network. The search is in neither."
    notes = [Text(text.sentence(note), style="dim") for note in comparison.notes]
    return Group(table, Text(costs, style="dim"), Text(), *map(Text, verdict(comparison)), *notes)


def _cell(r: ArmRecord) -> tuple[str, str, str]:
    return r.budget, r.structure, r.arm


def _cells(row: Row) -> list[Text]:
    n = len(row.test_accuracy)
    test = text.mean_spread(row.test_accuracy) + (f" ({n})" if n else "")
    return [
        Text(row.name),
        Text(text.count(row.flops)),
        Text(text.number(row.flops_fraction, 1)),
        Text(text.count(row.params)),
        Text(text.number(row.val_accuracy)),
        Text(test),
    ]
