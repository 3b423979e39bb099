"""Engines for tests of trainings: they remember their jobs, may fail, be cut short or killed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from results.training import TrainingRecord
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, TrainingJob, TrainingResult
from search.training.trainer import NO_WEIGHTS, Plan, Trainer, Weights, carry_out

Row = TypeVar("Row")


class Killed(BaseException):
    """The system kills the process."""


class Remembering(Local):
    """The local engine, last job first.

    Args:
        cut: after so many trainings it is interrupted.
        fails: says of a job how it fails, if it does.
    """

    def __init__(
        self,
        cut: int | None = None,
        fails: Callable[[TrainingJob], Failure | None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.asked: list[TrainingJob] = []
        self.done: list[TrainingJob] = []
        self._cut, self._fails = cut, fails

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        self.asked += jobs
        for job, result in super().train(evaluator, jobs[::-1]):
            if len(self.done) == self._cut:
                raise Killed
            self.done.append(job)
            failure = self._fails(job)
            yield job, result if failure is None else dataclasses.replace(result, failure=failure)


class Store:
    """What is kept of trainings and of a plan's rows, as a study would keep it."""

    def __init__(self) -> None:
        self.trainings: list[TrainingRecord] = []
        self.rows: list[list[object]] = []
        self.ticks = 0

    def keep(self, records: list[TrainingRecord]) -> None:
        self.trainings = [TrainingRecord.from_json(record.to_json()) for record in records]

    def trainer(self, evaluator: Evaluator, engine: Local) -> Trainer:
        """As a new process would have it."""
        return Trainer(evaluator, engine, self.trainings, self.keep)

    def carry_out(
        self,
        plan: Plan[Row],
        evaluator: Evaluator,
        engine: Local,
        weights: Weights = NO_WEIGHTS,
    ) -> list[Row]:
        """Do what is missing of a plan."""
        trainer = self.trainer(evaluator, engine)
        return carry_out(
            plan, trainer, lambda rows: self.rows.append(list(rows)), self._tick, weights
        )

    def _tick(self) -> None:
        self.ticks += 1


class Measured(Remembering):
    """Trains nothing: every training gets an accuracy of its own at once."""

    def train(
        self,
        evaluator: Evaluator,  # noqa: ARG002
        jobs: Sequence[TrainingJob],
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        for job in jobs:
            self.asked.append(job)
            yield job, self.result(job)

    def result(self, job: TrainingJob) -> TrainingResult:
        if failure := self._fails(job):
            return TrainingResult(1.0, failure=failure)
        accuracy = 0.5 + len(self.asked) / 1000
        return TrainingResult(1.0, accuracy, accuracy / 2)
