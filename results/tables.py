"""Records → tidy tables: pandas in a notebook, CSV and Parquet in the run's folder.

>>> trials = table(run.records)
>>> write_tables("runs/digits", run.records, run.finals)

docs/tables.md says what every column means, with its unit.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from results import pareto
from results.arms import Comparison
from results.beside import BesideRecord, beside_table
from results.comparison_tables import comparison_table, contrasts_table, sweep_table
from results.record import FinalRecord, TrialRecord
from results.sensitivity import SensitivityRecord, sensitivity_table
from results.store import plain_errors, write_bytes, write_text
from results.trust import trust_table

TRIAL_COLUMNS = {
    "number": "int64",
    "state": "string",
    "origin": "string",
    "criterion": "string",
    "mode": "string",
    "rung": "int64",
    "flops": "int64",
    "flops_fraction": "float64",
    "params": "int64",
    "val_accuracy": "float64",
    "seconds": "float64",
    "seed": "int64",
    "reason": "string",
}
FINAL_COLUMNS = {
    "name": "string",
    "role": "string",
    "budget": "string",
    "number": "Int64",
    "best": "bool",
    "criterion": "string",
    "mode": "string",
    "epochs": "int64",
    "layer_epochs": "int64",
    "layer_flops": "int64",
    "seed": "int64",
    "flops": "int64",
    "flops_fraction": "float64",
    "params": "int64",
    "val_accuracy": "float64",
    "test_accuracy": "float64",
}
"""Column to pandas type; those that are not the same for every run follow them."""

ALWAYS = ("trials", "pareto")
"""The tables that are written even without a row."""
AGAIN = "make the report again"


def table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a trial: `TRIAL_COLUMNS`, then ``proxy:<name>`` and ``width:<group>``, then what
    each rung brought: ``accuracy:<rung>``, ``epochs:<rung>``, ``seconds:<rung>``,
    ``regardless:<rung>``.

    Accuracies are fractions 0..1 on the validation split, ``seconds`` wall time.
    """
    top = max((r.rung for r in records), default=0)
    begun = max((len(r.rung_seconds) for r in records), default=0)
    free = max((1 + rung for r in records for rung in r.regardless), default=0)
    columns = (
        _fixed(records, TRIAL_COLUMNS)
        | _named("proxy", "float64", [r.proxies for r in records])
        | _named("width", "Int64", [r.policy for r in records])
        | _rungs("accuracy", "float64", range(1, top + 1), [r.accuracy for r in records])
        | _rungs("epochs", "Int64", range(1, top + 1), [r.epochs for r in records])
        | _rungs("seconds", "float64", range(begun), [r.rung_seconds for r in records])
        | {
            f"regardless:{rung}": pd.Series([rung in r.regardless for r in records], dtype="bool")
            for rung in range(free)
        }
    )
    return pd.DataFrame(columns)


def front_table(records: Sequence[TrialRecord], finals: Sequence[FinalRecord]) -> pd.DataFrame:
    """The rows of `table` on the front, with ``test_accuracy`` added: the mean over seeds."""
    on_front = pareto.trial_front(records)
    test = {f.tried: f.test_accuracy for f in finals if f.tried is not None and f.test_accuracy}
    means = [statistics.fmean(test.get(r.tried, (math.nan,))) for r in on_front]
    rows = table(records).set_index("number", drop=False)
    front = rows.loc[[r.number for r in on_front]].reset_index(drop=True)
    return front.assign(test_accuracy=pd.Series(means, dtype="float64"))


def finals_table(finals: Sequence[FinalRecord]) -> pd.DataFrame:
    """One row for each final and seed: `FINAL_COLUMNS`, then ``width:<group>``."""
    each = [(final, i) for final in finals for i in range(len(final.seeds))]
    rows = [
        {name: getattr(final, name, None) for name in FINAL_COLUMNS}
        | {
            "seed": final.seeds[i],
            "val_accuracy": _at(final.val_accuracy, i),
            "test_accuracy": _at(final.test_accuracy, i),
        }
        for final, i in each
    ]
    fixed = {
        name: pd.Series([row[name] for row in rows], dtype=kind)
        for name, kind in FINAL_COLUMNS.items()
    }
    return pd.DataFrame(fixed | _named("width", "Int64", [f.policy or {} for f, _ in each]))


def write_tables(
    folder: str | Path,
    records: Sequence[TrialRecord],
    finals: Sequence[FinalRecord] = (),
    repeats: Sequence[TrialRecord] = (),
    compared: Comparison | None = None,
    sensitivity: Sequence[SensitivityRecord] = (),
    others: Sequence[BesideRecord] = (),
) -> None:
    """Write every table into ``folder`` as CSV and as Parquet, each file in one step.

    ``trials`` and ``pareto`` are always there; of the others those that have a row: ``finals``,
    ``trust``, ``beside``, ``comparison``, ``contrasts``, ``sweep`` and ``sensitivity``.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    compared = compared or Comparison()
    parts = (repeats, compared, sensitivity, others)
    for name, frame in all_tables(records, finals, *parts).items():
        path = Path(folder) / name
        if len(frame) or name in ALWAYS:
            write_text(path.with_suffix(".csv"), frame.to_csv(index=False), AGAIN)
            write_bytes(path.with_suffix(".parquet"), frame.to_parquet(index=False), AGAIN)
        else:
            _remove(path)


def all_tables(
    records: Sequence[TrialRecord],
    finals: Sequence[FinalRecord],
    repeats: Sequence[TrialRecord],
    compared: Comparison,
    sensitivity: Sequence[SensitivityRecord] = (),
    others: Sequence[BesideRecord] = (),
) -> dict[str, pd.DataFrame]:
    """The name of each file to its table."""
    return {
        "trials": table(records),
        "pareto": front_table(records, finals),
        "finals": finals_table(finals),
        "trust": trust_table(records, repeats),
        "beside": beside_table(others),
        "comparison": comparison_table(compared),
        "contrasts": contrasts_table(compared),
        "sweep": sweep_table(compared),
        "sensitivity": sensitivity_table(sensitivity),
    }


def _remove(path: Path) -> None:
    """A table that has no row any more."""
    with plain_errors(str(path.parent), AGAIN):
        for suffix in (".csv", ".parquet"):
            path.with_suffix(suffix).unlink(missing_ok=True)


def _fixed(records: Sequence[Any], columns: Mapping[str, str]) -> dict[str, pd.Series[Any]]:
    return {
        name: pd.Series([getattr(r, name) for r in records], dtype=kind)
        for name, kind in columns.items()
    }


def _named(prefix: str, kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, pd.Series[Any]]:
    """One column for every key, in the order of their first appearance."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return {
        f"{prefix}:{key}": pd.Series([row.get(key) for row in rows], dtype=kind) for key in keys
    }


def _rungs(
    prefix: str, kind: str, rungs: range, rows: Sequence[Sequence[Any]]
) -> dict[str, pd.Series[Any]]:
    """One column a rung; the first value of every row is that of the first rung."""
    return {
        f"{prefix}:{rung}": pd.Series([_at(row, rung - rungs.start) for row in rows], dtype=kind)
        for rung in rungs
    }


def _at(values: Sequence[Any], i: int) -> Any:
    return values[i] if i < len(values) else None
