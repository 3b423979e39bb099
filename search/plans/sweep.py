"""The learning rate of fine-tuning: a short sweep over uniform widths, judged on validation.

What a heavily cut network needs undoes the repair of a lightly cut one, and a long training bears
a higher rate than a short one: so each budget has its own, and each length of training. Uniform
widths and seeds of their own, so that the rate favours neither the search nor one of the seeds
that are compared. The test split is not read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import fmean

from results import SweepPoint
from results.record import Candidate
from results.text import listed, plural
from results.training import RATES, SWEEP, TrainingSpec
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.policies.seeds import trial_seed
from search.training.loop import SMALL_SET
from search.training.modes import ADAMW, MODES, SGD
from search.training.trainer import Known
from spaces import Budget
from spaces.errors import ModelError

TRIED = {SGD: (0.1, 0.03, 0.01, 0.003), ADAMW: (0.01, 0.003, 0.001, 0.0003)}
"""By the sweep of a search, with each optimizer."""
SHARE = 3
"""Long trainings are tried for one in so many of their epochs."""
SEEDS_OF_SMALL = 2
"""Trainings of each rate on a small training set, which make up for the few images that judge."""


class Sweep:
    """The plan of a sweep: every rate at every budget, for every length.

    Args:
        lengths: epochs of the trainings that are to have the rate, 0 for whatever takes it, to the
            epochs for which each rate is tried.
        how: the spec of a training, but for its rate and epochs.
        seeds: trainings of each rate; the mean of their accuracies counts.
        purpose: of its trainings.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        budgets: Sequence[Budget],
        rates: Sequence[float],
        lengths: Mapping[int, int],
        how: TrainingSpec | None = None,
        seeds: int = 1,
        purpose: str = SWEEP,
    ) -> None:
        self.purpose, self._evaluator = purpose, evaluator
        self._budgets, self._rates, self._lengths = budgets, rates, lengths
        self._how = how or TrainingSpec(math.nan, 0)
        seed = evaluator.config.policies.seed
        self._seeds = [trial_seed(seed, k) for k in range(seeds)]

    @cached_property
    def jobs(self) -> list[TrainingJob]:
        uniform = {b: Candidate(self._evaluator.space.uniform(b)) for b in self._budgets}
        return [
            TrainingJob(
                uniform[budget], replace(self._how, lr=rate, epochs=epochs), seed, tested=False
            )
            for budget, _, epochs, rate, seed in self._places
        ]

    @property
    def _places(self) -> list[tuple[Budget, int, int, float, int]]:
        return [
            (budget, length, epochs, rate, seed)
            for budget in self._budgets
            for length, epochs in self._lengths.items()
            for rate in self._rates
            for seed in self._seeds
        ]

    def rows(self, known: Known) -> list[SweepPoint]:
        """A point for every job that is done; once all are, one rate for each budget and length is
        chosen, unless every one failed there."""
        points = [
            SweepPoint(
                str(budget), r.spec.lr, r.spec.epochs, r.seed, r.val_accuracy, False, r.reason, own
            )
            for (budget, own, *_), job in zip(self._places, self.jobs, strict=True)
            if (r := known(job)) is not None
        ]
        if not self.is_done(points):
            return points
        usual = self._evaluator.specs.usual_rate(scratch=False)
        best = {
            place: best_rate([p for p in points if p.place == place], usual)
            for place in {point.place for point in points}
        }
        return [replace(point, chosen=point.lr == best[point.place]) for point in points]

    def is_done(self, points: Sequence[SweepPoint]) -> bool:
        """Whether all points that there will be are among these."""
        done = {(p.budget, p.serves, p.epochs, p.lr, p.seed) for p in points}
        return all((str(budget), *place) in done for budget, *place in self._places)


def best_rate(points: Sequence[SweepPoint], usual: float) -> float | None:
    """The rate of the highest mean accuracy; among equals the nearest to ``usual``.

    None if each failed with some seed.
    """
    by_rate = defaultdict(list)
    for point in points:
        by_rate[point.lr].append(point.val_accuracy)
    means = {rate: fmean(own) for rate, own in by_rate.items() if not any(map(math.isnan, own))}
    best = max(means.values(), default=math.nan)
    equals = [rate for rate, mean in means.items() if mean == best]
    return min(equals, key=lambda rate: (abs(math.log(rate / usual)), rate), default=None)


def check_chosen(points: Sequence[SweepPoint]) -> None:
    """Check that there is a rate at each budget.

    Raises:
        ModelError: at some budget every rate failed.
    """
    chosen = {point.place for point in points if point.chosen}
    for point in points:
        if point.place not in chosen:
            own = [p for p in points if p.place == point.place]
            tried = ", ".join(dict.fromkeys(f"{p.lr:g}" for p in own))
            raise ModelError(
                f"fine-tuning at budget {point.budget} must succeed, but it failed at every rate "
                f"of {tried} ({own[-1].reason}); try other --rates"
            )


def of_search(evaluator: Evaluator, budgets: Sequence[Budget]) -> Sweep | None:
    """The sweep of a search, for its rungs and finals; None if it has a rate.

    From fresh weights the recipe's own rate is used, and a loop of the user's has its own.
    """
    training = evaluator.config.training
    if training.lr is not None or MODES[training.train].scratch or evaluator.specs.own_loop:
        return None
    final = training.final_epochs
    lengths = {final: max(1, round(final / SHARE))}
    lengths = {epochs: epochs for epochs in evaluator.config.judging.rungs} | lengths
    seeds = SEEDS_OF_SMALL if evaluator.specs.images < SMALL_SET else 1
    how = evaluator.specs.finetuning()
    return Sweep(evaluator, budgets, TRIED[training.optimizer], lengths, how, seeds, RATES)


def told(rates: Mapping[tuple[str, int], float]) -> Iterator[str]:
    """The chosen rates, a line for each budget."""
    for budget in dict.fromkeys(budget for budget, _ in rates):
        own = {epochs: rate for (name, epochs), rate in rates.items() if name == budget}
        parts = [f"{rate:g} for {plural(epochs, 'epoch')}" for epochs, rate in own.items()]
        yield f"learning rate at budget {budget}: {listed(parts)}"
