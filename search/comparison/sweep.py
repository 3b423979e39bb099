"""The learning rate of fine-tuning: a short sweep over uniform widths, judged on validation.

Uniform widths, so that the rate cannot favour the search; a seed of its own, so that it does not
favour one of the seeds that are compared; the test split is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from results import SweepPoint
from search.comparison.config import CompareConfig
from search.engines import Engine
from search.evaluator import Evaluator, Training
from search.jobs import TrainingJob
from search.recipes import recipe
from search.sampler import trial_seed
from search.train import FINETUNE
from spaces import Budget
from spaces.errors import ModelError

Place = tuple[str, float]
"""Budget and learning rate."""


def sweep(
    evaluator: Evaluator,
    engine: Engine,
    budgets: Sequence[Budget],
    asked: CompareConfig,
    known: Sequence[SweepPoint],
    keep: Callable[[list[SweepPoint]], None],
) -> list[SweepPoint]:
    """One point for every rate at every budget, the best of each budget chosen.

    Args:
        asked: with a number for ``sweep_epochs``.
        known: what was measured before; it is not measured again.
        keep: called with all points so far after each.

    Raises:
        ModelError: at some budget fine-tuning diverges at every rate.
    """
    # A rate that diverged is known; what failed otherwise, a worker that died say, is tried again.
    points = {(p.budget, p.lr): p for p in known if not p.reason or p.reason.startswith("diverged")}
    jobs = sweep_jobs(evaluator, budgets, asked)
    missing = {job: place for place, job in jobs.items() if place not in points}
    for job, result in engine.finals(evaluator, list(missing)):
        budget, rate = missing[job]
        reason = result.failure.reason if result.failure else ""
        points[budget, rate] = SweepPoint(
            budget, rate, asked.sweep_epochs or 1, job.seed, result.val_accuracy, reason=reason
        )
        keep([points[place] for place in jobs if place in points])
    measured = [points[place] for place in jobs]
    usual = recipe(evaluator, FINETUNE).lr
    best = {str(budget): best_rate(measured, str(budget), usual) for budget in budgets}
    return [replace(point, chosen=point.lr == best[point.budget]) for point in measured]


def sweep_jobs(
    evaluator: Evaluator, budgets: Sequence[Budget], asked: CompareConfig
) -> Mapping[Place, TrainingJob]:
    """What is trained for the sweep."""
    seed = trial_seed(evaluator.config.policies.seed, 0)
    return {
        (str(budget), rate): TrainingJob(
            evaluator.space.uniform(budget),
            seed,
            Training(
                replace(recipe(evaluator, FINETUNE), lr=rate), asked.sweep_epochs or 1, tested=False
            ),
            keep=False,
        )
        for budget in budgets
        for rate in asked.rates
    }


def best_rate(points: Sequence[SweepPoint], budget: str, usual: float) -> float:
    """The rate of the highest accuracy at a budget; among equals the nearest to the usual one.

    Raises:
        ModelError: every rate diverges.
    """
    known = [p for p in points if p.budget == budget and not math.isnan(p.val_accuracy)]
    if not known:
        raise ModelError(
            f"fine-tuning at budget {budget} must succeed, but it failed at every rate of "
            f"{', '.join(f'{p.lr:g}' for p in points if p.budget == budget)} "
            f"({points[-1].reason}); try other --rates"
        )
    best = max(p.val_accuracy for p in known)
    equals = [p.lr for p in known if p.val_accuracy == best]
    return min(equals, key=lambda rate: (abs(math.log(rate / usual)), rate))
