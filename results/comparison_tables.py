"""A comparison as tidy tables: its trainings, what each arm came to, its contrasts, its sweep.

>>> comparison_table(run.compared).groupby(["structure", "arm"])["test_accuracy"].mean()
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

import pandas as pd

from results.arms import Comparison
from results.board import Board
from results.contrasts import Contrast, contrasts
from results.paired import Paired

ARM_MEAN_COLUMNS = {
    "budget": "string",
    "structure": "string",
    "kind": "string",
    "best": "bool",
    "arm": "string",
    "weights": "string",
    "criterion": "string",
    "flops": "int64",
    "flops_fraction": "float64",
    "mean": "float64",
    "deviation": "float64",
    "n": "int64",
    "failed": "int64",
    "epochs": "int64",
    "lr": "float64",
    "training_flops": "int64",
    "inherited_flops": "int64",
    "total_flops": "int64",
    "total_relative": "float64",
}
COMPARISON_COLUMNS = {
    "budget": "string",
    "structure": "string",
    "kind": "string",
    "best": "bool",
    "number": "Int64",
    "flops": "int64",
    "flops_fraction": "float64",
    "params": "int64",
    "arm": "string",
    "weights": "string",
    "criterion": "string",
    "lr": "float64",
    "epochs": "int64",
    "seed": "int64",
    "val_accuracy": "float64",
    "test_accuracy": "float64",
    "training_flops": "int64",
    "inherited_flops": "int64",
    "total_flops": "int64",
    "seconds": "float64",
    "reason": "string",
}
CONTRAST_COLUMNS = {
    "budget": "string",
    "family": "string",
    "name": "string",
    "left": "string",
    "right": "string",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "kind": "string",
    "confidence": "float64",
    "n": "int64",
    "deviation": "float64",
    "p_value": "float64",
    "p_adjusted": "float64",
    "comparisons": "int64",
    "effect_size": "float64",
    "shown": "bool",
    "sentence": "string",
}
SWEEP_COLUMNS = {
    "budget": "string",
    "lr": "float64",
    "epochs": "int64",
    "seed": "int64",
    "val_accuracy": "float64",
    "chosen": "bool",
}
"""Column to pandas type."""


def arm_means(comparison: Comparison) -> pd.DataFrame:
    """One row for each budget, structure and arm: `ARM_MEAN_COLUMNS`.

    ``mean`` and ``deviation`` are of the test accuracy of the ``n`` seeds that did not fail; FLOPs
    are of one seed. ``total_flops`` is ``training_flops`` and ``inherited_flops``, the unpruned
    network's own training; ``total_relative`` is it in multiples of that training, ``nan`` where
    nothing says what it took.
    """
    unpruned = unpruned_flops(comparison)
    rows = []
    for budget in comparison.budgets:
        for _, _, records in Board(comparison, budget).places:
            one = records[0]
            known = [r.test_accuracy for r in records if math.isfinite(r.test_accuracy)]
            rows.append(
                {name: getattr(one, name, None) for name in ARM_MEAN_COLUMNS}
                | {
                    "mean": statistics.fmean(known) if known else math.nan,
                    "deviation": statistics.stdev(known) if len(known) > 1 else math.nan,
                    "n": len(known),
                    "failed": len(records) - len(known),
                    "total_relative": one.total_flops / unpruned if unpruned else math.nan,
                }
            )
    return _frame(rows, ARM_MEAN_COLUMNS)


def unpruned_flops(comparison: Comparison) -> int:
    """Multiply-adds of the unpruned network's own training; 0 where no record says.

    It is what inherited weights took; Scratch-E, as many epochs of a smaller network, tells it too.
    The sparse training that slimming inherits from is another one and counts only if nothing else
    says.
    """
    given = [r for r in comparison.arms if r.inherited_flops]
    inherited = (r.inherited_flops for r in given if r.criterion != "slimming")
    sparse = (r.inherited_flops for r in given)
    fresh = (r for r in comparison.arms if r.arm == "scratch-e" and r.flops_fraction)
    by_epochs = (round(r.training_flops / r.flops_fraction) for r in fresh)
    return next(chain(inherited, by_epochs, sparse), 0)


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """One row a training: `COMPARISON_COLUMNS`, then ``width:<group>``; a training that stands in
    several places has a row in each."""
    rows = [{name: getattr(r, name) for name in COMPARISON_COLUMNS} for r in comparison.arms]
    groups = dict.fromkeys(group for r in comparison.arms for group in r.policy)
    widths = {
        f"width:{group}": pd.Series([r.policy.get(group) for r in comparison.arms], dtype="Int64")
        for group in groups
    }
    return _frame(rows, COMPARISON_COLUMNS).assign(**widths)


def contrasts_table(comparison: Comparison) -> pd.DataFrame:
    """One row a contrast: `CONTRAST_COLUMNS`; differences are fractions, 0.01 being one point."""
    rows = [
        {f.name: getattr(c.paired, f.name) for f in fields(Paired)}
        | {f.name: getattr(c, f.name) for f in fields(Contrast)}
        | {"p_adjusted": c.adjusted, "shown": c.shown, "sentence": c.sentence}
        for c in contrasts(comparison)
    ]
    return _frame(rows, CONTRAST_COLUMNS)


def sweep_table(comparison: Comparison) -> pd.DataFrame:
    """One row for each learning rate that was tried at each budget: `SWEEP_COLUMNS`."""
    rows = [{name: getattr(p, name) for name in SWEEP_COLUMNS} for p in comparison.sweep]
    return _frame(rows, SWEEP_COLUMNS)


def _frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in columns.items()}
    )
