"""How long a search will take, from one step of each kind of its work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import torch

from search.beside import trainings
from search.data.splits import Split
from search.engines import Engine
from search.evaluator import Evaluator
from search.jobs import TrainingJob
from search.layerwise import layer_flops
from search.progress import Forecast
from search.train import evaluate
from spaces import Budget

IMAGES = 1024
"""So many images of each split are enough to time an epoch or an evaluation by."""
BOOKKEEPING = 0.1
"""Seconds a trial for the sampler and the database."""
FRONT = 3
"""Policies that a front usually sends to the finals, uniform widths among them."""


def foresee(evaluator: Evaluator, budgets: list[Budget], engine: Engine) -> Forecast:
    """Time rung 0, a part of an epoch and an evaluation of uniform widths, and multiply.

    How many trials climb is foreseen from ``eta`` and ``explore``. Failures count as no time: the
    search itself will tell of them. Timed on this machine, whatever the engine's machines are.
    """
    config = evaluator.config
    with _threads(engine.threads):
        proxies = evaluator.rung(evaluator.space.uniform(budgets[0]), 0, seed=0).seconds
        epoch, evaluation = _epoch(evaluator, budgets[0]), _evaluation(evaluator)
    climbing = 1 / config.judging.eta * (1 - config.judging.explore) + config.judging.explore
    trial = proxies + BOOKKEEPING
    for rung, epochs in enumerate(config.judging.rungs, start=1):
        trial += climbing**rung * (epochs * epoch + evaluation)
    networks = FRONT * len(budgets) * config.training.final_seeds
    final = config.training.final_epochs * epoch + 2 * evaluation
    uniform = evaluator.space.uniform(budgets[0])
    flops = evaluator.space.flops(uniform)
    gradual = layer_flops(evaluator.space, uniform, evaluator.to_the_end(uniform).layer_epochs)
    final += epoch * gradual / flops
    unpruned = evaluator.space.full_flops / flops
    beside = trainings(config) * (final + config.training.final_epochs * epoch * (unpruned - 1))
    again = config.judging.repeats * (config.judging.rungs[-1] * epoch + evaluation)
    return Forecast(
        config.policies.trials * trial / engine.at_once,
        networks * final / min(engine.at_once, networks) + (again + beside) / engine.at_once,
    )


def foresee_trainings(evaluator: Evaluator, jobs: Sequence[TrainingJob], engine: Engine) -> float:
    """Seconds that trainings of their own kind take: uniform widths are timed, by flops the others.

    >>> foresee_trainings(climb, jobs, engine)
    310.5
    """
    if not jobs:
        return 0.0
    budget = Budget.parse(evaluator.config.policies.budget[0])
    with _threads(engine.threads):
        epoch, evaluation = _epoch(evaluator, budget), _evaluation(evaluator)
    timed = evaluator.space.flops(evaluator.space.uniform(budget))
    epochs = sum(
        job.training.epochs * evaluator.space.flops(job.policy) / timed
        for job in jobs
        if job.training is not None
    )
    seconds = epochs * epoch + 2 * len(jobs) * evaluation
    return seconds / min(engine.at_once, len(jobs))


def _epoch(evaluator: Evaluator, budget: Budget) -> float:
    """Seconds of one epoch of uniform widths in the run's mode."""
    task, recipe = evaluator.task, evaluator.recipe
    part = _part(task.train)
    # A small set would get a recipe of its own; the steps timed are to be those of the search.
    config = evaluator.config.having(lr=recipe.lr, batch_size=recipe.batch_size)
    shortened = replace(evaluator, task=replace(task, train=part), config=config)
    started = time.perf_counter()
    policy = evaluator.space.uniform(budget)
    with suppress(Exception):
        shortened.trained(policy, shortened.in_mode(policy, 1), seed=0)
    return (time.perf_counter() - started) * len(task.train) / len(part)


def _evaluation(evaluator: Evaluator) -> float:
    """Seconds of one pass over the validation split, by the unpruned network."""
    task = evaluator.task
    part = _part(task.validation)
    started = time.perf_counter()
    evaluate(task.model, part)
    return (time.perf_counter() - started) * len(task.validation) / len(part)


def _part(split: Split) -> Split:
    if len(split) <= IMAGES:
        return split
    return split.indexable().subset(torch.arange(IMAGES))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """With the threads that each trial will have."""
    usual = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
