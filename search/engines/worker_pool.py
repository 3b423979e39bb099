"""What an engine runs its jobs on: this process (`InProcess`), or several (``workers``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from results.record import Candidate, TrialRecord
from results.rules import next_rung
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult, TrainingJob, TrainingResult

Job = TypeVar("Job")
"""A trial whose next rung is to be measured, or a network to be trained to the end."""
Result = TypeVar("Result")
"""What the job gave."""


class JobRunner(ABC, Generic[Job, Result]):
    """Has an evaluator do jobs of one kind; can be pickled.

    >>> runner = RungWork(evaluator)
    >>> result = runner.run(record)
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    @abstractmethod
    def run(self, job: Job) -> Result:
        """Do the job. Never raises: what goes wrong is part of the result."""

    @abstractmethod
    def failed(self, job: Job, failure: Failure, seconds: float) -> Result:
        """The result of a job whose worker died."""


class RungWork(JobRunner[TrialRecord, RungResult]):
    """Measures the next rung of a trial."""

    def run(self, job: TrialRecord) -> RungResult:
        candidate = Candidate(job.policy, job.criterion)
        return self.evaluator.evaluate_rung(candidate, next_rung(job), job.seed)

    def failed(self, job: TrialRecord, failure: Failure, seconds: float) -> RungResult:
        return RungResult(next_rung(job), seconds, failure=failure)


class TrainingWork(JobRunner[TrainingJob, TrainingResult]):
    """Trains a network to the end."""

    def run(self, job: TrainingJob) -> TrainingResult:
        return self.evaluator.train_final(job)

    def failed(self, job: TrainingJob, failure: Failure, seconds: float) -> TrainingResult:  # noqa: ARG002
        return TrainingResult(seconds, failure=failure)


class WorkerPool(ABC, Generic[Job, Result]):
    """Takes jobs and hands back their results.

    >>> with InProcess(RungWork(evaluator)) as pool:
    ...     pool.begin(record)
    ...     record, result = pool.finished()
    """

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether another job can begin."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether the result of some job is still to come."""

    @abstractmethod
    def begin(self, job: Job) -> None:
        """Give the job to an idle worker."""

    @abstractmethod
    def finished(self) -> tuple[Job, Result]:
        """Wait for the next job that is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all workers, whatever they do."""


class InProcess(WorkerPool[Job, Result]):
    """A pool without workers: `finished` does the job in this process."""

    def __init__(self, runner: JobRunner[Job, Result]) -> None:
        self._runner = runner
        self._jobs: list[Job] = []

    @property
    def idle(self) -> bool:
        return not self._jobs

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def begin(self, job: Job) -> None:
        self._jobs.append(job)

    def finished(self) -> tuple[Job, Result]:
        job = self._jobs.pop()
        return job, self._runner.run(job)
