"""A run read back from its folder: what `search.search` returns, and the start of a notebook.

>>> run = load("runs/digits")          # works while the search is running
>>> run.trials[["number", "origin", "flops_fraction", "val_accuracy"]]
>>> run.front["test_accuracy"].max(), run.best.policy
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from optuna.study import Study

from results import earlier, store
from results.compare import chosen
from results.compression import CompressionBaseline
from results.data import RunData, furthest
from results.opening import open_run
from results.pareto import trial_front
from results.record import TrialRecord
from results.reporting import report
from results.solving import Solved, solve
from results.tables import tables_of
from spaces import Budget, unknown

log = logging.getLogger(__name__)


class Frame:
    """A table of a run, made when it is read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: Run, _: type[Run]) -> pd.DataFrame:
        return run.table(self.name)


@dataclass(frozen=True, slots=True)
class Run(RunData):
    """A run as records, see `RunData`, and as tables; docs/tables.md has their columns."""

    trials = Frame("trials")
    """One row a trial."""
    front = Frame("pareto")
    """The front, by rising flops."""
    final_trainings = Frame("finals")
    """One row for each final and seed."""
    trainings = Frame("trainings")
    """One row for each network trained to the end, whatever for."""
    trust = Frame("trust")
    """One row for each proxy and control."""
    gains = Frame("gains")
    """One row for each step from plain uniform widths to the searched network."""
    classes = Frame("classes")
    """One row for each class in the network to ship at each budget, what lost most first."""
    compression_baselines = Frame("compression_baselines")
    """One row for each training of a network that was compressed in another way."""
    beside = Frame("beside")
    """The older name of ``compression_baselines``, for one more version."""
    comparison = Frame("comparison")
    """One row for each training of the comparison."""
    contrasts = Frame("contrasts")
    """One row for each paired difference."""
    rates = Frame("rates")
    """One row for each learning rate that the search tried before its first trial."""
    speeds = Frame("speeds")
    """One row for each network that competes and batch size."""
    sweep = Frame("sweep")
    """One row for each learning rate that the comparison tried."""
    sensitivity = Frame("sensitivity")
    """One row for each sensitivity, group and width."""

    def table(self, name: str) -> pd.DataFrame:
        """Any table, also one without an attribute, by the name of its file."""
        if name not in (tables := tables_of(self)):
            raise unknown("table", name, tables)
        return tables[name](self)

    @property
    def others(self) -> tuple[CompressionBaseline, ...]:
        """The older name of ``compressed``, for one more version."""
        return self.compressed

    @property
    def best(self) -> TrialRecord | None:
        """The trial behind the best final of the first budget, else the front's most accurate."""
        final = chosen(self.finals)
        behind = [r for r in self.records if final and r.candidate == final.candidate]
        return furthest(behind or trial_front(self.records))

    def solve(self, budget: Budget | float | str) -> Solved:
        """The widths of the least damage within any budget, which is not measured again.

        >>> run.solve(0.3).policy, run.solve("60M").damage

        Raises:
            BudgetError: the budget cannot be reached.
            UserError: the search was without ``--starts repaired_damage``.
        """
        return solve(self, budget)

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
        run, damage = left_behind(study, folder), store.left_out(study)
    for sentence in damage:
        log.warning("%s: %s", folder, sentence)
    checks = (*run.provenance.checks, *damage)
    return replace(run, provenance=replace(run.provenance, checks=checks))


def left_behind(study: Study, folder: Path) -> Run:
    """What a study holds; of a run of an older version with the trainings that it did not keep."""
    run = Run(folder, **store.load_all(study))
    if store.TRAININGS.attribute in study.user_attrs:
        return run
    return replace(run, training_records=earlier.training_records(run))
