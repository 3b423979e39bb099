"""A crew: those who do jobs, one each at a time. Its smallest is this process itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from results.record import Candidate, TrialRecord
from results.rules import next_rung
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult, TrainingJob, TrainingResult

J = TypeVar("J")
"""A job: a trial whose next rung is to be measured, or a network to be trained to the end."""
O = TypeVar("O")  # noqa: E741
"""What the job gave."""


class Work(ABC, Generic[J, O]):
    """What an evaluator does for jobs of one kind; can be pickled.

    >>> work = Rungs(evaluator)
    >>> result = work.done(record)
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    @abstractmethod
    def done(self, job: J) -> O:
        """Do it. Never raises: what goes wrong is part of the result."""

    @abstractmethod
    def failed(self, job: J, failure: Failure, seconds: float) -> O:
        """The result of a job whose worker cannot report any more."""


class Rungs(Work[TrialRecord, RungResult]):
    """Measures the next rung of a trial."""

    def done(self, job: TrialRecord) -> RungResult:
        rung = next_rung(job)
        return self.evaluator.evaluate_rung(Candidate(job.policy, job.criterion), rung, job.seed)

    def failed(self, job: TrialRecord, failure: Failure, seconds: float) -> RungResult:
        return RungResult(next_rung(job), seconds, failure=failure)


class Trainings(Work[TrainingJob, TrainingResult]):
    """Trains a network to the end."""

    def done(self, job: TrainingJob) -> TrainingResult:
        return self.evaluator.train_final(job)

    def failed(self, job: TrainingJob, failure: Failure, seconds: float) -> TrainingResult:  # noqa: ARG002
        return TrainingResult(seconds, failure=failure)


class Crew(ABC, Generic[J, O]):
    """Takes jobs and hands back what each gave.

    >>> with Alone(Rungs(evaluator)) as crew:
    ...     crew.begin(record)
    ...     record, result = crew.finished()
    """

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether another job can begin."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether some job is still to come back."""

    @abstractmethod
    def begin(self, job: J) -> None:
        """Give a job to somebody idle."""

    @abstractmethod
    def finished(self) -> tuple[J, O]:
        """The next job that is done; waits for it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Send everybody home, whatever they are at."""


class Alone(Crew[J, O]):
    """This process, which does a job when it is asked for what is finished."""

    def __init__(self, work: Work[J, O]) -> None:
        self._work = work
        self._jobs: list[J] = []

    @property
    def idle(self) -> bool:
        return not self._jobs

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def begin(self, job: J) -> None:
        self._jobs.append(job)

    def finished(self) -> tuple[J, O]:
        job = self._jobs.pop()
        return job, self._work.done(job)
