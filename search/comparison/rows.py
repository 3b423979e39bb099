"""The rows of a comparison as they fill: what is known, what is missing, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from results import ArmRecord
from search.comparison.plan import Planned, Schedule, record
from search.evaluator import Evaluator
from search.jobs import TrainingJob, TrainingResult


class Rows:
    """Planned rows and the records that they have become.

    >>> rows = Rows(planned, schedule, climb, known)
    >>> for job, outcome in engine.finals(climb, rows.missing):
    ...     rows.add(job, outcome)

    A known record serves every row whose training is the same, whatever structure it was made for.
    Records of rows that are not planned now stay at the end.
    """

    def __init__(
        self,
        planned: Sequence[Planned],
        schedule: Schedule,
        evaluator: Evaluator,
        known: Sequence[ArmRecord] = (),
    ) -> None:
        self._planned, self._schedule, self._evaluator = planned, schedule, evaluator
        measured = {r.training: r for r in known if not r.reason}
        self._gave: dict[TrainingJob, TrainingResult] = {}
        for one in planned:
            found = measured.get(self._record(one, TrainingResult(0.0)).training)
            if found is not None:
                self._gave[one.job] = _outcome(found)
        mine = {_row(self._record(one, TrainingResult(0.0))) for one in planned}
        self._others = [replace(r, best=False) for r in known if _row(r) not in mine]

    @property
    def missing(self) -> list[TrainingJob]:
        """The trainings that nobody has done, each once, in the order of the plan."""
        return list(dict.fromkeys(one.job for one in self._planned if one.job not in self._gave))

    def add(self, job: TrainingJob, result: TrainingResult) -> None:
        """Take what a training gave."""
        self._gave[job] = result

    @property
    def records(self) -> tuple[ArmRecord, ...]:
        """One for every row whose training is done."""
        done = [one for one in self._planned if one.job in self._gave]
        return (*(self._record(one, self._gave[one.job]) for one in done), *self._others)

    def _record(self, one: Planned, result: TrainingResult) -> ArmRecord:
        return record(one, result, self._schedule, self._evaluator)


def _row(r: ArmRecord) -> tuple[object, ...]:
    return r.budget, r.structure, r.arm, r.training


def _outcome(r: ArmRecord) -> TrainingResult:
    return TrainingResult(r.seconds, r.epochs, r.val_accuracy, r.test_accuracy)
