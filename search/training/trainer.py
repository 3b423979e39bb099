"""The trainer: does the trainings that have no record yet, and records them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from results.record import Candidate
from results.training import (
    BASELINES,
    FINALS,
    REPEATS,
    SPARSE,
    TrainingRecord,
    TrainingSpec,
)
from search import log
from search.engines import Engine
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import DIVERGED, TrainingJob, TrainingResult, WeightSource
from search.training.specs import flops_of_training

Row = TypeVar("Row")
Known = Callable[[TrainingJob], TrainingRecord | None]
"""The record of a job's training; None while it is missing."""


class Weights:
    """Where the weights of trainings are kept; this one is for plans that need none."""

    def has(self, job: TrainingJob, known: Known) -> bool:  # noqa: ARG002
        """Whether the weights of the job's training are there, or not needed."""
        return True

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:
        """Keep the weights in the result; called once ``known`` has the record of the training."""


NO_WEIGHTS = Weights()


class Plan(Protocol[Row]):
    """The trainings that a purpose needs, and its rows of results.

    Attributes:
        purpose: stored in the records of its trainings.
        jobs: in the order in which they are to be done.
    """

    purpose: str

    @property
    def jobs(self) -> Sequence[TrainingJob]: ...

    def rows(self, known: Known) -> list[Row]:
        """The rows of those networks, or trainings, that have a record, in the plan's order."""
        ...


class Trainer:
    """Has an engine do the missing trainings, and keeps their records.

    >>> trainer = Trainer(evaluator, engine, load(study, TRAININGS), keep)
    >>> for job in trainer.train("finals", jobs, NO_WEIGHTS):
    ...     print(trainer.known(job).test_accuracy)

    Two jobs are one training if candidate, spec and seed are equal; fresh weights are the same
    under every criterion. A training that diverged is not repeated; one that failed otherwise,
    because its worker died say, is repeated by the next process.

    Args:
        known: the records of earlier processes.
        keep: called with all records after every training, and when some are discarded.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        engine: Engine,
        known: Iterable[TrainingRecord],
        keep: Callable[[list[TrainingRecord]], None],
    ) -> None:
        self._evaluator, self._engine, self._keep = evaluator, engine, keep
        self._records = {record.key: record for record in known}
        self._done_here: set[Hashable] = set()

    @property
    def records(self) -> list[TrainingRecord]:
        """The records of all trainings so far, in the order in which they ended."""
        return list(self._records.values())

    def known(self, job: TrainingJob) -> TrainingRecord | None:
        """The record of the job's training, failed or not; None if it is still to be done."""
        key = self._key(job)
        record = self._records.get(key)
        if record is None:
            return None
        if record.failure:
            final = record.failure == DIVERGED or key in self._done_here
            return record if final else None
        return record if record.tested or not job.tested else None

    def missing(
        self, jobs: Iterable[TrainingJob], weights: Weights = NO_WEIGHTS
    ) -> list[TrainingJob]:
        """The jobs that are still to be done, each training once."""
        return [job for job in self._distinct(jobs) if not self._is_done(job, weights)]

    def _is_done(self, job: TrainingJob, weights: Weights) -> bool:
        """Whether there is a record, and what it should leave; a failed one leaves nothing."""
        record = self.known(job)
        return record is not None and (bool(record.failure) or weights.has(job, self.known))

    def train(
        self, purpose: str, jobs: Sequence[TrainingJob], weights: Weights
    ) -> Iterator[TrainingJob]:
        """Yield every training of the jobs once: first the known ones, then each as it is done."""
        missing = self.missing(jobs, weights)
        undone = {self._key(job) for job in missing}
        yield from (job for job in self._distinct(jobs) if self._key(job) not in undone)
        for job, result in self._engine.train(self._evaluator, missing):
            record = self._record(purpose, job, result)
            self._records[record.key] = record
            log.trained(record, len(self._records), result.failure)
            log.not_replayed(result.not_replayed)
            self._done_here.add(record.key)
            if result.failure is None:
                weights.save(job, result, self.known)
            self._keep(self.records)
            yield job

    def offer(self, sources: Mapping[str, WeightSource]) -> None:
        """Add weights that later trainings may inherit, by the name in their candidates."""
        self._evaluator = replace(self._evaluator, sources={**self._evaluator.sources, **sources})

    def forget(self, purposes: Collection[str]) -> int:
        """Discard the trainings of these purposes; how many of them had read the test split."""
        gone = [record for record in self.records if record.purpose in purposes]
        for record in gone:
            del self._records[record.key]
        self._keep(self.records)
        return sum(record.tested for record in gone)

    def _record(self, purpose: str, job: TrainingJob, result: TrainingResult) -> TrainingRecord:
        failure, size = result.failure, result.size
        candidate, spec = self._inherited(job), job.spec
        space, images = self._evaluator.space, self._evaluator.specs.images
        taken = images * flops_of_training(space, candidate.policy, spec)
        return TrainingRecord(
            purpose=purpose,
            candidate=candidate,
            spec=spec,
            seed=job.seed,
            flops=space.flops(candidate.policy),
            training_flops=0 if failure else taken,
            seconds=result.seconds,
            val_accuracy=result.val_accuracy,
            test_accuracy=result.test_accuracy,
            by_class=result.by_class,
            nonzero=size.nonzero if size else 0,
            bytes=size.bytes if size else 0,
            failure=failure.kind if failure else "",
            reason=failure.reason if failure else "",
        )

    def _distinct(self, jobs: Iterable[TrainingJob]) -> Iterable[TrainingJob]:
        distinct: dict[Hashable, TrainingJob] = {}
        for job in jobs:
            distinct.setdefault(self._key(job), job)
        return distinct.values()

    def _key(self, job: TrainingJob) -> Hashable:
        return self._inherited(job), job.spec, job.seed

    def _inherited(self, job: TrainingJob) -> Candidate:
        return _normal(job.candidate, job.spec, self._evaluator.config.reference)


def adopted(records: Iterable[TrainingRecord], evaluator: Evaluator) -> list[TrainingRecord]:
    """The records with learning rate and criterion filled in where an older version left them out,
    as they were the run's own."""
    specs, reference = evaluator.specs, evaluator.config.reference
    usual = specs.in_mode(evaluator.space.full, 1).lr
    own = {FINALS: usual, REPEATS: usual, BASELINES: specs.finetuning().lr}
    own[SPARSE] = specs.usual_rate(scratch=True)
    complete = []
    for record in records:
        spec = record.spec
        if math.isnan(spec.lr):
            spec = replace(spec, lr=own.get(record.purpose, math.nan))
        candidate = _normal(record.candidate, spec, reference)
        complete.append(replace(record, candidate=candidate, spec=spec))
    return complete


def _normal(candidate: Candidate, spec: TrainingSpec, reference: str) -> Candidate:
    """The candidate with its criterion named; without one if fresh weights make it irrelevant."""
    return replace(candidate, criterion="" if spec.scratch else candidate.criterion or reference)


def carry_out(
    plan: Plan[Row],
    trainer: Trainer,
    keep: Callable[[list[Row]], None],
    tick: Callable[[], None],
    weights: Weights = NO_WEIGHTS,
) -> list[Row]:
    """Do the missing trainings of a plan; returns its rows.

    Args:
        keep: called with all rows so far, at first and after every training.
        tick: called once for every training of the plan that is done now.
    """
    missing = set(trainer.missing(plan.jobs, weights))
    keep(plan.rows(trainer.known))
    for job in trainer.train(plan.purpose, plan.jobs, weights):
        keep(plan.rows(trainer.known))
        if job in missing:
            tick()
    return plan.rows(trainer.known)


def successes(jobs: Iterable[TrainingJob], known: Known) -> list[TrainingRecord]:
    """The records of those trainings that are known and did not fail."""
    records = map(known, jobs)
    return [record for record in records if record is not None and not record.failure]


def failed(name: str, record: TrainingRecord | None) -> Iterator[str]:
    """One line if the training failed."""
    if record is not None and record.failure:
        yield f"{name} could not be trained with seed {record.seed}: {record.reason}"
