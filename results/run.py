"""A run's folder, read back: what `search.search` returns and what a notebook starts from.

>>> run = load("runs/digits")          # works while the search is running
>>> run.trials[["number", "origin", "flops_fraction", "val_accuracy"]]
>>> run.front["test_accuracy"].max(), run.best.policy
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from results import store, tables
from results.arms import Comparison
from results.compare import chosen
from results.pareto import trial_front
from results.record import FinalRecord, TrialRecord
from results.report.page import html


@dataclass(frozen=True, slots=True)
class Run:
    """What a run's folder holds, as records and as tables."""

    folder: Path
    records: tuple[TrialRecord, ...]
    finals: tuple[FinalRecord, ...]
    provenance: dict[str, Any]
    repeats: tuple[TrialRecord, ...] = ()
    compared: Comparison = field(default_factory=Comparison)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; the columns of trials.csv."""
        return tables.table(self.records)

    @property
    def front(self) -> pd.DataFrame:
        """The front, by rising flops; the columns of pareto.csv."""
        return tables.front_table(self.records, self.finals)

    @property
    def best(self) -> TrialRecord | None:
        """The trial behind the best final of the first budget, else the front's most accurate."""
        final = chosen(self.finals)
        finalists = [r for r in self.records if final is not None and r.policy == final.policy]
        candidates = finalists or trial_front(self.records)
        return max(candidates, key=lambda r: (r.rung, r.val_accuracy), default=None)

    def report(self, path: str | Path | None = None) -> Path:
        """Write ``report.html`` anew, into the run's folder unless ``path`` says otherwise."""
        path = Path(path) if path is not None else self.folder / "report.html"
        store.write_text(path, html(self.records, self.finals, self.provenance))
        return path


def load(folder: str | Path, storage: str | None = None) -> Run:
    """Read the run in ``folder``, finished or still running.

    Args:
        storage: the URL of its database, where that is not ``study.db``; needed only for a
            password that is neither in PGPASSWORD nor in ``~/.pgpass``.

    Raises:
        UserError: there is no study, or it cannot be read.
    """
    folder = Path(folder)
    with store.open_run(folder, storage) as study:
        return Run(
            folder,
            tuple(store.load_records(study)),
            tuple(store.load_finals(study)),
            store.load_provenance(study),
            tuple(store.load_repeats(study)),
            store.load_comparison(study),
        )
