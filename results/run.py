"""A run's folder, read back: what `search.search` returns and what a notebook starts from.

>>> run = load("runs/digits")          # works while the search is running
>>> run.trials[["number", "origin", "flops_fraction", "val_accuracy"]]
>>> run.front["test_accuracy"].max(), run.best.policy
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from results import earlier, store
from results.compare import chosen
from results.compression import CompressionBaseline
from results.data import RunData, furthest
from results.opening import open_run
from results.pareto import trial_front
from results.record import TrialRecord
from results.report import report
from results.tables import TABLES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run(RunData):
    """A run as records, see `RunData`, and as tables; docs/tables.md has their columns."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; the columns of trials.csv."""
        return TABLES["trials"](self)

    @property
    def front(self) -> pd.DataFrame:
        """The front, by rising flops; the columns of pareto.csv."""
        return TABLES["pareto"](self)

    @property
    def final_trainings(self) -> pd.DataFrame:
        """One row for each final and seed; the columns of finals.csv."""
        return TABLES["finals"](self)

    @property
    def trainings(self) -> pd.DataFrame:
        """One row for each network trained to the end; the columns of trainings.csv."""
        return TABLES["trainings"](self)

    @property
    def trust(self) -> pd.DataFrame:
        """One row for each proxy and control; the columns of trust.csv."""
        return TABLES["trust"](self)

    @property
    def compression_baselines(self) -> pd.DataFrame:
        """One row for each training of them; the columns of compression_baselines.csv."""
        return TABLES["compression_baselines"](self)

    @property
    def beside(self) -> pd.DataFrame:
        """The older name of ``compression_baselines``, for one version more."""
        return self.compression_baselines

    @property
    def others(self) -> tuple[CompressionBaseline, ...]:
        """The older name of ``compressed``, for one version more."""
        return self.compressed

    @property
    def comparison(self) -> pd.DataFrame:
        """One row for each training of the comparison; the columns of comparison.csv."""
        return TABLES["comparison"](self)

    @property
    def contrasts(self) -> pd.DataFrame:
        """One row for each paired difference; the columns of contrasts.csv."""
        return TABLES["contrasts"](self)

    @property
    def sweep(self) -> pd.DataFrame:
        """One row for each learning rate that the comparison tried; the columns of sweep.csv."""
        return TABLES["sweep"](self)

    @property
    def sensitivity(self) -> pd.DataFrame:
        """One row for each sensitivity, group and width; the columns of sensitivity.csv."""
        return TABLES["sensitivity"](self)

    @property
    def view(self) -> Run:  # until search follows
        """What the sections of a report are made from."""
        return self

    @property
    def best(self) -> TrialRecord | None:
        """The trial behind the best final of the first budget, else the front's most accurate."""
        final = chosen(self.finals)
        known = [r for r in self.records if final and r.candidate == final.candidate]
        return furthest(known or trial_front(self.records))

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
    with open_run(folder, storage) as study:
        store.check_is_ours(study, folder)
        run, damage = Run(folder, **store.load_all(study)), store.left_out(study)
        has_trainings = store.TRAININGS.attribute in study.user_attrs
    for sentence in damage:
        log.warning("%s: %s", folder, sentence)
    if damage:
        checks = (*run.provenance.checks, *damage)
        run = replace(run, provenance=replace(run.provenance, checks=checks))
    return run if has_trainings else replace(run, training_records=earlier.training_records(run))
