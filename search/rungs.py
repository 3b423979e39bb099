"""Who climbs on: successive halving that knows accuracy is not the only objective."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Point(NamedTuple):
    """One trial at one rung: its flops and its score there, higher = better."""

    flops: int
    score: float


class Competitors:
    """The trials at one rung, as two arrays of one length: a rung may have 100,000.

    >>> Competitors.of([Point(50, 0.90), Point(40, 0.85)]).scores
    array([0.9 , 0.85])
    """

    def __init__(self, flops: np.ndarray, scores: np.ndarray) -> None:
        self.flops, self.scores = flops, scores

    @classmethod
    def of(cls, points: Iterable[Point]) -> Competitors:
        """Of the trials at these points."""
        pairs = list(points)
        flops = np.array([point.flops for point in pairs], dtype=np.int64)
        return cls(flops, np.array([point.score for point in pairs], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class DominanceRule:
    """Asynchronous successive halving among trials of at most the same flops.

    >>> rule = DominanceRule(eta=2, coin=0.0)
    >>> competitors = Competitors.of([Point(50, 0.90), Point(40, 0.85)])
    >>> rule.beaten_by(Point(50, 0.80), competitors)
    (2, 3)
    >>> rule.stops(Point(50, 0.80), competitors, seed=1)
    True
    >>> rule.stops(Point(30, 0.80), competitors, seed=1)
    False

    Plain halving would stop every small network, because a larger one is more accurate. So a trial
    is compared with its *peers* only: the trials that reached the same rung with at most its flops.
    Of ``n`` peers, itself among them, the best ``ceil(n / eta)`` climb on. A trial that nobody
    dominates is the best of its peers, so it never stops; the first trial at a rung always climbs,
    and the rule needs nobody to wait, as in ASHA (Li et al. 2020).

    Attributes:
        eta: one in ``eta`` climbs; above 1.
        coin: share of trials, drawn by their own seeds, that climb whatever their score, so that
            the trust figures are not computed only on what the proxies liked.
        tolerance: flops within which two networks count as equally large.
    """

    eta: float = 2.0
    coin: float = 0.1
    tolerance: int = 0

    def beaten_by(self, point: Point, competitors: Competitors) -> tuple[int, int]:
        """How many peers score strictly better, and how many peers there are, itself included."""
        peers = competitors.scores[competitors.flops <= point.flops + self.tolerance]
        # Written so that a score of nan loses to every number and beats none.
        better = ~np.isnan(peers) & ~(peers <= point.score)
        return int(better.sum()), len(peers) + 1

    def dominated(self, point: Point, competitors: Competitors) -> bool:
        """Whether a trial without luck stops at this rung."""
        better, peers = self.beaten_by(point, competitors)
        return better >= math.ceil(peers / self.eta)

    def stops(self, point: Point, competitors: Competitors, *, seed: int) -> bool:
        """Whether the trial with that seed stops at this rung."""
        return self.dominated(point, competitors) and not self.lucky(seed)

    def lucky(self, seed: int) -> bool:
        """The coin: the same for a trial at all its rungs and in every repetition of the run."""
        return bool(np.random.default_rng([seed, 1]).random() < self.coin)
