"""Which arm of which structure is trained how: from structures to jobs for an engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from results import Arm, ArmRecord
from results.spending import training_flops
from search.comparison.structures import SLIMMING, Structure
from search.evaluator import Evaluator, Training
from search.jobs import TrainingJob, TrainingResult
from search.recipes import recipe
from search.train import FINETUNE, FROM_SCRATCH

SMALL_RATE = 1e-3
"""At which fine-tuning once was usual (Liu et al. 2019)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The epochs of the comparison, and the rate of fine-tuning at each budget.

    Attributes:
        base: epochs of the unpruned network's training, and so of Scratch-E.
        finetune: epochs of fine-tuning.
        rates: budget → learning rate that the sweep found.
    """

    base: int
    finetune: int
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Planned:
    """One row of the comparison: a structure in an arm with a seed, and the job that trains it.

    Several rows may have one job: a fresh network of some widths is the same whoever found them.
    """

    structure: Structure
    arm: Arm
    job: TrainingJob


def plan(
    structures: Sequence[Structure],
    arms: Sequence[str],
    seeds: Sequence[int],
    schedule: Schedule,
    evaluator: Evaluator,
) -> list[Planned]:
    """Every training, first all with the first seed: what is cut short can be compared as well."""
    return [
        Planned(
            structure, cast(Arm, arm), _job(structure, cast(Arm, arm), seed, schedule, evaluator)
        )
        for seed in seeds
        for structure in structures
        for arm in arms
    ]


def _job(
    structure: Structure, arm: Arm, seed: int, schedule: Schedule, evaluator: Evaluator
) -> TrainingJob:
    policy, base = structure.policy, schedule.base
    equal = evaluator.epochs_of_equal_cost(policy, base)
    tuned = dataclasses.replace(recipe(evaluator, FINETUNE), lr=schedule.rates[structure.budget])
    scratch = recipe(evaluator, FROM_SCRATCH)
    match arm:
        case "finetune":
            how, source = Training(tuned, schedule.finetune), structure.source
        case "finetune-small":
            classic = dataclasses.replace(tuned, lr=SMALL_RATE)
            how, source = Training(classic, schedule.finetune), structure.source
        case "random-channels":
            how, source = Training(tuned, schedule.finetune), random_source(seed)
        case "scratch-e":
            how, source = Training(scratch, base, scratch=True), ""
        case "scratch-b":
            how, source = Training(scratch, equal, scratch=True), ""
        case "scratch-b+":
            how, source = Training(scratch, equal + schedule.finetune, scratch=True), ""
    return TrainingJob(policy, seed, how, source, keep=False)


def random_source(seed: int) -> str:
    """Name of the source whose channels are drawn at random for trainings with that seed."""
    return f"random {seed}"


def record(
    planned: Planned, result: TrainingResult, schedule: Schedule, evaluator: Evaluator
) -> ArmRecord:
    """What one training of the comparison leaves behind."""
    structure, job, space = planned.structure, planned.job, evaluator.space
    how = _training(job)
    flops, images = space.flops(structure.policy), len(evaluator.task.train)
    before = 0 if how.scratch else _before(job, schedule, evaluator)
    return ArmRecord(
        budget=structure.budget,
        structure=structure.name,
        kind=structure.kind,
        best=structure.best,
        number=structure.number,
        policy=structure.policy,
        flops=flops,
        flops_fraction=flops / space.full_flops,
        params=space.params(structure.policy),
        arm=planned.arm,
        criterion="" if how.scratch else _criterion(job),
        lr=how.recipe.lr,
        epochs=how.epochs,
        seed=job.seed,
        val_accuracy=result.val_accuracy,
        test_accuracy=result.test_accuracy,
        training_flops=training_flops(flops, images, how.epochs),
        inherited_flops=training_flops(space.full_flops, images, before),
        seconds=result.seconds,
        reason=result.failure.reason if result.failure else "",
    )


def _before(job: TrainingJob, schedule: Schedule, evaluator: Evaluator) -> float:
    """Epochs of the training that inherited weights come from: as it was, or as it is taken."""
    if job.source == SLIMMING:
        return schedule.base
    return evaluator.task.base_epochs or schedule.base


def _criterion(job: TrainingJob) -> str:
    """Who chose the channels; ``random`` is drawn anew for every seed, the run's own only once."""
    return "random of the run" if job.source == "random" else job.source.partition(" ")[0]


def _training(job: TrainingJob) -> Training:
    assert job.training is not None  # every job that is planned here says how
    return job.training
