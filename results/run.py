"""A run's folder, read back: what `search.search` returns and what a notebook starts from.

>>> run = load("runs/digits")          # works while the search is running
>>> run.trials[["number", "origin", "flops_fraction", "val_accuracy"]]
>>> run.front["test_accuracy"].max(), run.best.policy
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from results import store, tables
from results.arms import Comparison
from results.beside import BesideRecord, beside_table
from results.compare import chosen
from results.comparison_tables import comparison_table, contrasts_table, sweep_table
from results.pareto import trial_front
from results.record import FinalRecord, TrialRecord
from results.report import report
from results.report.view import View
from results.sensitivity import SensitivityRecord, sensitivity_table
from results.trust import trust_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run's folder holds, as records and as tables; docs/tables.md has their columns.

    Attributes:
        folder: of the run.
        records: one a trial.
        finals: the networks that were trained for long, and tested.
        provenance: see `results.report`.
        repeats: policies that were trained again with another seed at the rung that trust is
            measured at; their accuracies at other rungs are ``nan``.
        compared: what a comparison of fine-tuning with training from scratch measured.
        measured: what cutting each group alone did, as the run's importances measured it.
        others: networks compressed in other ways, beside the best ones and the unpruned one.
    """

    folder: Path
    records: tuple[TrialRecord, ...]
    finals: tuple[FinalRecord, ...]
    provenance: dict[str, Any]
    repeats: tuple[TrialRecord, ...] = ()
    compared: Comparison = field(default_factory=Comparison)
    measured: tuple[SensitivityRecord, ...] = ()
    others: tuple[BesideRecord, ...] = ()

    @property
    def view(self) -> View:
        """What the sections of a report are made from."""
        parts = (self.records, self.finals, self.provenance, self.repeats)
        return View(*parts, self.compared, self.measured, self.others)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; the columns of trials.csv."""
        return tables.table(self.records)

    @property
    def front(self) -> pd.DataFrame:
        """The front, by rising flops; the columns of pareto.csv."""
        return tables.front_table(self.records, self.finals)

    @property
    def final_trainings(self) -> pd.DataFrame:
        """One row for each final and seed; the columns of finals.csv."""
        return tables.finals_table(self.finals)

    @property
    def trust(self) -> pd.DataFrame:
        """One row for each proxy and control; the columns of trust.csv."""
        return trust_table(self.records, self.repeats)

    @property
    def beside(self) -> pd.DataFrame:
        """One row for each training of what was set beside; the columns of beside.csv."""
        return beside_table(self.others)

    @property
    def comparison(self) -> pd.DataFrame:
        """One row for each training of the comparison; the columns of comparison.csv."""
        return comparison_table(self.compared)

    @property
    def contrasts(self) -> pd.DataFrame:
        """One row for each paired difference; the columns of contrasts.csv."""
        return contrasts_table(self.compared)

    @property
    def sweep(self) -> pd.DataFrame:
        """One row for each learning rate that the comparison tried; the columns of sweep.csv."""
        return sweep_table(self.compared)

    @property
    def sensitivity(self) -> pd.DataFrame:
        """One row for each importance, group and width; the columns of sensitivity.csv."""
        return sensitivity_table(self.measured)

    @property
    def best(self) -> TrialRecord | None:
        """The trial behind the best final of the first budget, else the front's most accurate."""
        final = chosen(self.finals)
        finalists = [r for r in self.records if final is not None and r.tried == final.tried]
        candidates = finalists or trial_front(self.records)
        return max(candidates, key=lambda r: (r.rung, r.val_accuracy), default=None)

    def report(self, path: str | Path | None = None) -> Path:
        """Write ``report.html``, ``report.md`` and the tables anew; see `results.report`."""
        return report(self, path)


def load(folder: str | Path, storage: str | None = None) -> Run:
    """Read the run in ``folder``, finished or still running.

    Args:
        storage: the URL of its database, where that is not ``study.db``; needed only for a
            password that is neither in PGPASSWORD nor in ``~/.pgpass``.

    A record that is damaged is left out, which is logged and stands among the provenance's checks.

    Raises:
        UserError: there is no study, or it cannot be read.
    """
    folder = Path(folder)
    with store.open_run(folder, storage) as study:
        store.check_is_ours(study, folder)
        provenance, damage = store.load_provenance(study), store.left_out(study)
        for sentence in damage:
            log.warning("%s: %s", folder, sentence)
        if damage:
            provenance["checks"] = [*provenance.get("checks", []), *damage]
        return Run(
            folder,
            tuple(store.load_records(study)),
            tuple(store.load_finals(study)),
            provenance,
            tuple(store.load_repeats(study)),
            store.load_comparison(study),
            tuple(store.load_sensitivity(study)),
            tuple(store.load_beside(study)),
        )
