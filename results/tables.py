"""Records → tidy tables: pandas in a notebook, CSV in the run's folder.

>>> trials = table(run.records)
>>> write_tables("runs/digits", run.records, run.finals)
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from results import pareto
from results.record import FinalRecord, TrialRecord
from results.store import write_text

COLUMNS = (
    "number",
    "state",
    "origin",
    "mode",
    "rung",
    "flops",
    "flops_fraction",
    "params",
    "val_accuracy",
    "seconds",
    "seed",
    "reason",
)


def table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a trial: `COLUMNS`, then ``proxy:<name>`` and ``width:<group>``.

    Accuracies are fractions 0..1 on the validation split, ``seconds`` wall time.
    """
    proxies = dict.fromkeys(name for r in records for name in r.proxies)
    groups = dict.fromkeys(name for r in records for name in r.policy)
    names = [*COLUMNS, *(f"proxy:{p}" for p in proxies), *(f"width:{g}" for g in groups)]
    rows = [
        [getattr(r, column) for column in COLUMNS]
        + [r.proxies.get(name, float("nan")) for name in proxies]
        + [r.policy.get(name) for name in groups]
        for r in records
    ]
    return pd.DataFrame(rows, columns=names)


def front_table(records: Sequence[TrialRecord], finals: Sequence[FinalRecord]) -> pd.DataFrame:
    """The rows of `table` on the front, with ``test_accuracy`` added: the mean over seeds."""
    on_front = pareto.trial_front(records)
    test = {f.policy: f.test_accuracy for f in finals if f.policy is not None and f.test_accuracy}
    means = [statistics.fmean(test.get(r.policy, (float("nan"),))) for r in on_front]
    return table(on_front).assign(test_accuracy=pd.Series(means, dtype=float))


def write_tables(
    folder: str | Path, records: Sequence[TrialRecord], finals: Sequence[FinalRecord] = ()
) -> None:
    """Write ``trials.csv`` and ``pareto.csv`` into ``folder``, each in one step."""
    write_text(Path(folder) / "trials.csv", table(records).to_csv(index=False))
    write_text(Path(folder) / "pareto.csv", front_table(records, finals).to_csv(index=False))
