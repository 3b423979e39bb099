"""The learning rate of fine-tuning: a short sweep over uniform widths, judged on validation.

Uniform widths and a seed of its own, so that the rate favours neither the search nor one of the
compared seeds. The test split is not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from results import SweepPoint
from results.record import Candidate
from results.training import SWEEP, TrainingSpec
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.policies.seeds import trial_seed
from search.training.trainer import Known
from spaces import Budget
from spaces.errors import ModelError


class Sweep:
    """The plan of the sweep: every rate at every budget."""

    purpose = SWEEP

    def __init__(
        self, budgets: Sequence[Budget], rates: Sequence[float], epochs: int, evaluator: Evaluator
    ) -> None:
        self._budgets, self._rates, self._epochs = budgets, rates, epochs
        self._evaluator = evaluator

    @cached_property
    def jobs(self) -> list[TrainingJob]:
        seed = trial_seed(self._evaluator.config.policies.seed, 0)
        specs = [TrainingSpec(rate, self._epochs) for rate in self._rates]
        uniform = [Candidate(self._evaluator.space.uniform(b)) for b in self._budgets]
        return [TrainingJob(c, spec, seed, tested=False) for c in uniform for spec in specs]

    def rows(self, known: Known) -> list[SweepPoint]:
        """A point for every job that is done; once all are, one at each budget is chosen.

        Raises:
            ModelError: all are done, and at some budget every one failed.
        """
        budgets = [str(budget) for budget in self._budgets for _ in self._rates]
        trained = ((b, known(job)) for b, job in zip(budgets, self.jobs, strict=True))
        points = [
            SweepPoint(b, r.spec.lr, r.spec.epochs, r.seed, r.val_accuracy, reason=r.reason)
            for b, r in trained
            if r is not None
        ]
        if len(points) < len(budgets):
            return points
        usual = self._evaluator.specs.usual_rate(scratch=False)
        best = {budget: best_rate(points, budget, usual) for budget in budgets}
        return [replace(point, chosen=point.lr == best[point.budget]) for point in points]


def best_rate(points: Sequence[SweepPoint], budget: str, usual: float) -> float:
    """The rate of the highest accuracy at a budget; among equals the nearest to ``usual``.

    Raises:
        ModelError: every rate failed.
    """
    tried = [p for p in points if p.budget == budget]
    measured = [p for p in tried if not math.isnan(p.val_accuracy)]
    if not measured:
        raise ModelError(
            f"fine-tuning at budget {budget} must succeed, but it failed at every rate of "
            f"{', '.join(f'{p.lr:g}' for p in tried)} ({tried[-1].reason}); try other --rates"
        )
    best = max(p.val_accuracy for p in measured)
    equals = [p.lr for p in measured if p.val_accuracy == best]
    return min(equals, key=lambda rate: (abs(math.log(rate / usual)), rate))
