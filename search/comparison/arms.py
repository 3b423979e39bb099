"""How each structure is trained in each arm, and its rows of results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from results import ARMS, ArmRecord
from results.arms import Schedule
from results.record import Candidate
from results.training import COMPARISON, TrainingRecord, training_flops
from search.comparison.structures import SLIMMING, Structure
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.training.specs import flops_of_training
from search.training.trainer import Known


@dataclass(frozen=True, slots=True)
class EpochsAndRates:
    """The epochs of the comparison, and the rate of fine-tuning at each budget.

    Attributes:
        base: epochs of the unpruned network's training and of Scratch-E.
        finetune: epochs of fine-tuning.
        rates: budget → learning rate of fine-tuning that the sweep chose.
    """

    base: int
    finetune: int
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Planned:
    """One row of the comparison: a structure in an arm with a seed, and the job that trains it.

    Several rows may share a job: fresh networks of equal widths are the same.
    """

    structure: Structure
    arm: str
    job: TrainingJob


class Arms:
    """The plan of the arms: every structure in every arm with every seed.

    Args:
        earlier: rows of an earlier comparison. Those that this plan does not have, of another
            structure say, stay after its own.
    """

    purpose = COMPARISON

    def __init__(
        self,
        structures: Sequence[Structure],
        arms: Sequence[str],
        seeds: Sequence[int],
        epochs: EpochsAndRates,
        evaluator: Evaluator,
        earlier: Sequence[ArmRecord] = (),
    ) -> None:
        self._structures, self._arms, self._seeds = structures, arms, seeds
        self._epochs, self._evaluator = epochs, evaluator
        planned = {_identity(self._row(p, None)) for p in self.planned}
        self._unplanned = [replace(r, best=False) for r in earlier if _identity(r) not in planned]

    @cached_property
    def planned(self) -> list[Planned]:
        """All with the first seed first, so that what is cut short can be compared."""
        return [
            Planned(structure, arm, self._job(structure, arm, seed))
            for seed in self._seeds
            for structure in self._structures
            for arm in self._arms
        ]

    @property
    def jobs(self) -> list[TrainingJob]:
        return [planned.job for planned in self.planned]

    def rows(self, known: Known) -> list[ArmRecord]:
        """A row for every training that is done or failed."""
        pairs = [(planned, known(planned.job)) for planned in self.planned]
        return [*(self._row(p, r) for p, r in pairs if r is not None), *self._unplanned]

    def _job(self, structure: Structure, arm: str, seed: int) -> TrainingJob:
        policy, how = structure.candidate.policy, ARMS[arm]
        specs, epochs = self._evaluator.specs, self._epochs
        training = self._evaluator.config.training
        schedule = Schedule(
            base=epochs.base,
            equal=specs.epochs_of_equal_cost(policy, epochs.base),
            finetune=epochs.finetune,
            rate=epochs.rates[str(structure.budget)],
            scratch_rate=specs.usual_rate(scratch=True),
            distill=training.distill_weight,
            temperature=training.distill_temperature,
        )
        source = how.source(structure.candidate.criterion, seed)
        return TrainingJob(Candidate(policy, source), how.spec(schedule), seed)

    def _row(self, planned: Planned, record: TrainingRecord | None) -> ArmRecord:
        structure, job, space = planned.structure, planned.job, self._evaluator.space
        policy, spec, images = job.candidate.policy, job.spec, self._evaluator.specs.images
        flops, inherited = space.flops(policy), self._inherited_epochs(job)
        return ArmRecord(
            budget=str(structure.budget),
            structure=structure.name,
            kind=structure.kind,
            best=structure.best,
            number=structure.number,
            policy=policy,
            flops=flops,
            flops_fraction=flops / space.full_flops,
            params=space.params(policy),
            arm=planned.arm,
            criterion=ARMS[planned.arm].criterion(job.candidate.criterion),
            lr=spec.lr,
            epochs=spec.epochs,
            seed=job.seed,
            training_flops=images * flops_of_training(space, policy, spec),
            inherited_flops=training_flops(space.full_flops, images, inherited),
            val_accuracy=record.val_accuracy if record else math.nan,
            test_accuracy=record.test_accuracy if record else math.nan,
            seconds=record.seconds if record else 0.0,
            reason=record.reason if record else "",
            distill=spec.distill,
            temperature=spec.temperature,
        )

    def _inherited_epochs(self, job: TrainingJob) -> float:
        """Epochs of the trainings that inherited weights and a teacher come from, as known or
        assumed: the unpruned network's counts once, also where it is both."""
        unpruned = self._evaluator.task.base_epochs or self._epochs.base
        if job.spec.scratch:
            return unpruned if job.spec.distill else 0
        if job.candidate.criterion == SLIMMING:
            return self._epochs.base + (unpruned if job.spec.distill else 0)
        return unpruned


def _identity(r: ArmRecord) -> tuple[object, ...]:
    return r.budget, r.structure, r.arm, r.training
