"""The widths of the least total within several limits at once, or within one that is no polynomial.

Whatever keeps all limits keeps every weighted sum of them, so the best widths within such a sum
bound from below what any can reach; the weights for which they come nearest to keeping each limit
are sought. Widths that do not keep all are projected onto those that do.

Surrogate constraints: Glover, Surrogate constraint duality in mathematical programming, 1975.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from spaces.cost import Polynomial
from spaces.limits import Limit, met
from spaces.problem import Problem
from spaces.projection import Lattice, project
from spaces.solve import Solution, solve

ROUNDS = 12
"""Weights that are tried."""
SCALE = 2.0**40
"""What the sum of all limits comes to: costs are rounded to whole numbers."""
CLOSE = 1e-3
"""Weights that change by less have been found."""
REACH, CHUNK = 2, 4096
"""Places that one exchange moves a width by, at most, and pairs of moves that are tried at once."""
NEGLIGIBLE = 1e-9
"""A gain that rounding may have made, as a share of the largest."""


def solve_within(
    terms: Sequence[np.ndarray],
    choices: Sequence[np.ndarray],
    limits: Sequence[Limit],
    lattice: Lattice,
) -> Solution:
    """The best widths found within all limits; as `solve` where there is one polynomial.

    Args:
        terms, choices: as of a `Problem`.
    """
    costs = [limit.cost for limit in limits]
    if len(costs) == 1 and isinstance(costs[0], Polynomial):
        return solve(Problem(terms, choices, costs[0], limits[0].most))
    exact = all(isinstance(cost, Polynomial) for cost in costs)
    weights = np.eye(len(limits))[0]  # often the first one binds alone
    widths, bound, best = project(lattice.top, limits, lattice), -np.inf, None
    for turn in range(ROUNDS):
        cost = _sum(weights, limits, widths)
        most = max(SCALE, float(cost(lattice.low)))  # what is near elsewhere may be beyond it there
        solution = solve(Problem(terms, choices, cost, most))
        bound = max(bound, solution.bound)
        within = met(limits, solution.widths)
        widths = solution.widths if within else project(solution.widths, limits, lattice)
        total = _total(terms, choices, widths)
        if best is None or total < best.total:
            best = Solution(widths, total, -np.inf)
        used = np.array([float(limit.cost(solution.widths)) / limit.most for limit in limits])
        if within and exact:
            break
        before = weights if turn else np.ones(len(limits))
        changed = before * np.exp((used - used.max()) * 8 / (1 + turn) ** 0.5)
        changed /= changed.sum()
        if abs(changed - weights).max() < CLOSE and turn > 1:
            break
        weights = changed
    assert best is not None
    if not exact or best.total > bound:
        widths = _exchanged(terms, choices, limits, best.widths)
        best = Solution(widths, _total(terms, choices, widths), -np.inf)
    return Solution(best.widths, best.total, min(bound, best.total) if exact else -np.inf)


def _sum(weights: np.ndarray, limits: Sequence[Limit], widths: np.ndarray) -> Polynomial:
    """The weighted sum of all costs, each as a share of its limit, times `SCALE`."""
    shares = SCALE * weights / np.array([limit.most for limit in limits])
    parts = [limit.cost.near(widths) * share for limit, share in zip(limits, shares, strict=True)]
    return reduce(add, parts)


def _exchanged(
    terms: Sequence[np.ndarray],
    choices: Sequence[np.ndarray],
    limits: Sequence[Limit],
    widths: np.ndarray,
) -> np.ndarray:
    """Widths that no change of one or two groups by up to `REACH` places improves."""
    widths = widths.copy()
    while True:
        places = _places(choices, widths)
        moves = [(-1, float(widths[0]), 0.0)]  # the first one changes nothing
        for g, (term, own, at) in enumerate(zip(terms, choices, places, strict=True)):
            near = range(max(at - REACH, 0), min(at + REACH + 1, len(own)))
            moves += [(g, own[k], float(term[at] - term[k])) for k in near if k != at]
        group, width, gain = map(np.array, zip(*moves, strict=True))
        one, other = np.triu_indices(len(moves), 1)
        gains = gain[one] + gain[other]
        better = np.flatnonzero((group[one] != group[other]) & (gains > NEGLIGIBLE * gain.max()))
        better = better[np.argsort(-gains[better], kind="stable")]
        for begin in range(0, len(better), CHUNK):
            pairs = better[begin : begin + CHUNK]
            tried, rows = np.tile(widths, (len(pairs), 1)), np.arange(len(pairs))
            for of in (one[pairs], other[pairs]):
                tried[rows, np.maximum(group[of], 0)] = width[of]
            kept = met(limits, tried)
            if kept.any():
                widths = tried[int(kept.argmax())]
                break
        else:
            return widths


def _places(choices: Sequence[np.ndarray], widths: np.ndarray) -> list[int]:
    return [int(np.searchsorted(own, width)) for own, width in zip(choices, widths, strict=True)]


def _total(terms: Sequence[np.ndarray], choices: Sequence[np.ndarray], widths: np.ndarray) -> float:
    places = _places(choices, widths)
    return float(sum(own[k] for own, k in zip(terms, places, strict=True)))
