"""Which trials are promoted: successive halving for two objectives, accuracy and size.

The size is what the budgets limit: FLOPs unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from results.rules import dominated, outdone


class Point(NamedTuple):
    """One trial at one rung: its size and its score there, higher = better."""

    size: int
    score: float


class Competitors(NamedTuple):
    """The trials at one rung, as two arrays of one length: there may be 100,000."""

    sizes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True)
class DominanceRule:
    """Asynchronous successive halving among trials of at most the same size.

    >>> rule = DominanceRule(eta=2, explore=0.0)
    >>> competitors = Competitors(np.array([50, 40]), np.array([0.90, 0.85]))
    >>> rule.beaten_by(Point(50, 0.80), competitors)
    (2, 3)
    >>> rule.dominated(Point(50, 0.80), competitors), rule.dominated(Point(30, 0.80), competitors)
    (True, False)

    Plain halving would stop every small network, because a larger one is more accurate. So a trial
    is compared with its *peers* only: the trials that reached the same rung with at most its size.
    Of ``n`` peers, itself included, the best ``ceil(n / eta)`` are promoted. A trial that no other
    dominates is the best of its peers, so it never stops; the first trial at a rung is always
    promoted, and no trial has to wait for others, as in ASHA (Li et al. 2020).

    Attributes:
        eta: about one in ``eta`` trials of equal size is promoted; above 1.
        explore: share of trials, drawn by their own seeds, that are promoted whatever their score,
            so that the trust figures are not computed only on what the proxies liked.
        tolerance: of size, within which two networks count as equally large.
    """

    eta: float = 2.0
    explore: float = 0.1
    tolerance: int = 0

    def beaten_by(self, point: Point, competitors: Competitors) -> tuple[int, int]:
        """How many peers score strictly better, and how many peers there are, itself included."""
        better, peers = outdone(*point, *competitors, self.tolerance)
        return better, peers + 1

    def dominated(self, point: Point, competitors: Competitors) -> bool:
        """Whether a trial loses against its peers at this rung."""
        return dominated(*self.beaten_by(point, competitors), self.eta)

    def explores(self, seed: int) -> bool:
        """Whether the trial with that seed is promoted whatever its score, at each of its rungs."""
        return bool(np.random.default_rng([seed, 1]).random() < self.explore)
