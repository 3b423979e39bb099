"""How long work will take, from a timed part of each kind of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch

from results.record import Candidate
from search.data.splits import Split
from search.engines import Engine
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.training.hardware import torch_threads
from search.training.loop import evaluate
from search.training.specs import flops_of_training
from spaces import Budget, Space

IMAGES = 1024
"""Images of each split by which an epoch and an evaluation are timed."""
BOOKKEEPING = 0.1
"""Seconds per trial for the sampler and the database."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The timed parts of trials and trainings, in seconds.

    Attributes:
        epoch: one pass of training over the training images, of ``flops`` multiply-adds for each.
        evaluation: one pass over the validation images.
    """

    epoch: float
    evaluation: float
    flops: int

    def of_trainings(self, jobs: Sequence[TrainingJob], space: Space, at_once: int) -> float:
        """Seconds of all these trainings; their time is proportional to their flops."""
        if not jobs:
            return 0.0
        seconds = sum(self._of_training(job, space) for job in jobs)
        return seconds / min(at_once, len(jobs))

    def _of_training(self, job: TrainingJob, space: Space) -> float:
        flops = flops_of_training(space, job.candidate.policy, job.spec)
        return self.epoch * flops / self.flops + (1 + job.tested) * self.evaluation


def measured_speed(evaluator: Evaluator, budget: Budget, engine: Engine) -> Speed:
    """Time a part of an epoch with uniform widths, and a part of an evaluation, on this machine.

    A training that fails is timed up to its failure, which the search itself will report.
    """
    task, specs, policy = evaluator.task, evaluator.specs, evaluator.space.uniform(budget)
    spec = replace(specs.in_mode(policy, 1), epochs=1)
    # The part gets the batch size of the whole set: a small set would have a smaller one.
    config = evaluator.config.having(batch_size=specs.recipe(spec).batch_size)

    def train_on(part: Split) -> None:
        shortened = replace(evaluator, task=replace(task, train=part), config=config)
        with suppress(Exception):
            shortened.trained(Candidate(policy), spec, seed=0)

    with torch_threads(engine.threads):
        epoch = _seconds(train_on, task.train)
        evaluation = _seconds(partial(evaluate, task.model, metric=task.metric), task.validation)
    return Speed(epoch, evaluation, flops_of_training(evaluator.space, policy, spec))


def seconds_of_trials(evaluator: Evaluator, budget: Budget, speed: Speed, engine: Engine) -> float:
    """Seconds of all trials: rung 0 is timed; how many are promoted follows from ``eta``."""
    judging = evaluator.config.judging
    with torch_threads(engine.threads):
        uniform = Candidate(evaluator.space.uniform(budget))
        trial = evaluator.evaluate_rung(uniform, 0, seed=0).seconds + BOOKKEEPING
    promoted = judging.explore + (1 - judging.explore) / judging.eta
    for rung, epochs in enumerate(judging.rungs, start=1):
        trial += promoted**rung * (epochs * speed.epoch + speed.evaluation)
    return evaluator.config.policies.trials * trial / engine.at_once


def _seconds(work: Callable[[Split], object], split: Split) -> float:
    """Seconds of work on a split, from those on a part of it."""
    part = split if len(split) <= IMAGES else split.indexable().subset(torch.arange(IMAGES))
    started = time.perf_counter()
    work(part)
    return (time.perf_counter() - started) * len(split) / len(part)
