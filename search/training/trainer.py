"""The trainer: does the trainings that have no record yet, and records them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
    training_flops,
)
from search import log
from search.engines import Engine
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import DIVERGED, TrainingJob, TrainingResult, WeightSource
from search.training.layerwise import layer_flops

Key = tuple[Candidate, TrainingSpec, int]
Row = TypeVar("Row")
Known = Callable[[TrainingJob], TrainingRecord | None]
"""The record of a job's training; None while it is missing."""


class Weights(Protocol):
    """Stores trained weights that are needed after the training."""

    def has(self, job: TrainingJob) -> bool:
        """Whether the weights of the job are stored."""
        ...

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:
        """Store them; ``known`` has the record of this training already."""
        ...


class NoWeights:
    """For trainings of which only the accuracy is needed."""

    def has(self, job: TrainingJob) -> bool:  # noqa: ARG002
        """True: nothing is needed."""
        return True

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:
        """Nothing happens."""


NO_WEIGHTS = NoWeights()


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
        """A row for every network, or training, known so far, in the order of the plan."""
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
        keep: called with all records after every training.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        engine: Engine,
        known: Iterable[TrainingRecord],
        keep: Callable[[list[TrainingRecord]], None],
    ) -> None:
        self._evaluator, self._engine, self._keep = evaluator, engine, keep
        self._records = {(r.candidate, r.spec, r.seed): r for r in known}
        self._own: set[Key] = set()

    @property
    def records(self) -> list[TrainingRecord]:
        """The records of all trainings so far, in the order in which they ended."""
        return list(self._records.values())

    def known(self, job: TrainingJob) -> TrainingRecord | None:
        """The record of the job's training, failed or not; None if it is still to be done."""
        key = self._key(job)
        record = self._records.get(key)
        if record is None or (
            record.failure and record.failure != DIVERGED and key not in self._own
        ):
            return None
        if job.tested and not record.failure and math.isnan(record.test_accuracy):
            return None
        return record

    def missing(
        self, jobs: Iterable[TrainingJob], weights: Weights = NO_WEIGHTS
    ) -> list[TrainingJob]:
        """The jobs that are still to be done, each training once."""
        distinct = self._distinct(jobs)
        return [j for j in distinct.values() if self.known(j) is None or not weights.has(j)]

    def train(
        self, purpose: str, jobs: Sequence[TrainingJob], weights: Weights
    ) -> Iterator[TrainingJob]:
        """Yield every training of the jobs once: first the known ones, then each as it is done.

        Raises:
            SearchStopped: three workers in a row died.
        """
        missing = self.missing(jobs, weights)
        undone = {self._key(job) for job in missing}
        yield from (job for key, job in self._distinct(jobs).items() if key not in undone)
        for job, result in self._engine.train(self._evaluator, missing):
            self._add(self._record(purpose, job, result))
            if result.failure is None:
                weights.save(job, result, self.known)
            self._keep(self.records)
            yield job

    def offer(self, sources: Mapping[str, WeightSource]) -> None:
        """Add weights that later trainings may inherit, by the name in their candidates."""
        sources = {**self._evaluator.sources, **sources}
        self._evaluator = replace(self._evaluator, sources=sources)

    def forget(self, purposes: Collection[str]) -> int:
        """Discard the trainings of these purposes; how many of them had read the test split."""
        gone = {key for key, record in self._records.items() if record.purpose in purposes}
        reads = sum(not math.isnan(self._records[key].test_accuracy) for key in gone)
        self._records = {k: record for k, record in self._records.items() if k not in gone}
        self._keep(self.records)
        return reads

    def _add(self, record: TrainingRecord) -> None:
        log.trained(record)
        key = (record.candidate, record.spec, record.seed)
        self._records[key] = record
        self._own.add(key)

    def _record(self, purpose: str, job: TrainingJob, result: TrainingResult) -> TrainingRecord:
        failure, size = result.failure, result.size
        candidate, spec, seed = self._key(job)
        space, images = self._evaluator.space, self._evaluator.specs.images
        flops = space.flops(candidate.policy)
        taken = training_flops(flops, images, spec.epochs)
        taken += training_flops(layer_flops(space, candidate.policy, spec.layer_epochs), images, 1)
        return TrainingRecord(
            purpose=purpose,
            candidate=candidate,
            spec=spec,
            seed=seed,
            flops=flops,
            training_flops=0 if failure else taken,
            seconds=result.seconds,
            val_accuracy=result.val_accuracy,
            test_accuracy=result.test_accuracy,
            nonzero=size.nonzero if size else 0,
            bytes=size.bytes if size else 0,
            failure=failure.kind if failure else "",
            reason=failure.reason if failure else "",
        )

    def _distinct(self, jobs: Iterable[TrainingJob]) -> dict[Key, TrainingJob]:
        distinct: dict[Key, TrainingJob] = {}
        for job in jobs:
            distinct.setdefault(self._key(job), job)
        return distinct

    def _key(self, job: TrainingJob) -> Key:
        candidate = _normal(job.candidate, job.spec, self._evaluator.config.reference)
        return candidate, job.spec, job.seed


def adopted(records: Iterable[TrainingRecord], evaluator: Evaluator) -> list[TrainingRecord]:
    """The records with learning rate and criterion filled in: an older version left out those that
    were the run's own."""
    specs, reference = evaluator.specs, evaluator.config.reference
    own = {
        FINALS: specs.in_mode(evaluator.space.full, 1).lr,
        SPARSE: specs.usual_rate(scratch=True),
    }
    own |= {REPEATS: own[FINALS], BASELINES: specs.finetuning().lr}
    complete = []
    for record in records:
        spec = record.spec
        if math.isnan(spec.lr):
            spec = replace(spec, lr=own[record.purpose])
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
        tick: called once for every training of the plan, known or done now.
    """
    keep(plan.rows(trainer.known))
    for _ in trainer.train(plan.purpose, plan.jobs, weights):
        keep(plan.rows(trainer.known))
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
