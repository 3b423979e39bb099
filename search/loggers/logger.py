"""What a logger of experiments is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.provenance import Provenance
from results.record import TrialRecord
from results.training import TrainingRecord
from search.evaluation.jobs import RungResult

if TYPE_CHECKING:
    from results.run import Run  # pandas and Optuna take a second to import


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that is begun or gone on with.

    Attributes:
        id: of the run; the same whenever it is gone on with, so that a logger goes on too.
        name: of its folder.
        folder: where its files are; a logger may keep its own there.
        options: the options of the search, each by its own name.
        about: the network, data, versions and device.
    """

    id: str
    name: str
    folder: Path
    options: Mapping[str, Any]
    about: Provenance


class Logger:
    """Is told of a run while it goes on; whatever a subclass leaves out does nothing.

    >>> class Printed(search.Logger):
    ...     def trial(self, record):
    ...         print(record.number, record.flops_fraction, record.val_accuracy)
    >>> search.search(task, budget=0.5, loggers=[Printed()])

    A record's ``val_accuracy`` and ``test_accuracy`` are scores, of which a higher one is better:
    for another metric than accuracy see ``run.about.metric``, whose ``sign`` times a score is the
    metric.

    All methods are called in the process that was started, one after the other. What one of them
    raises does not end the search: the logger is told nothing more. Of several processes that share
    a run by ``--storage``, only the loggers of the first are told.
    """

    def begin(self, run: BegunRun) -> None:
        """The run begins or is gone on with; called first, for a comparison once more."""

    def rung(self, record: TrialRecord, result: RungResult, where: str) -> None:
        """A rung of a trial was measured, or failed; ``record`` is as it was before.

        Args:
            where: the machine that it was measured on.
        """

    def trial(self, record: TrialRecord) -> None:
        """A trial has ended: it is complete, stopped or failed; called once for each."""

    def training(self, record: TrainingRecord, number: int) -> None:
        """A network was trained to the end, or that failed.

        Args:
            number: of the training, counted from 1 over the whole run.
        """

    def end(self, run: Run) -> None:
        """The work is done, and ``report.html`` is in ``run.folder``."""

    def close(self) -> None:
        """Nothing more will be told; without `end` before it, the work was cut short."""
