"""The widths of the least total within a budget: one term for every group, minimised exactly.

The cost is a quadratic polynomial of the widths, so this is a knapsack with products. For a given
price of a flop the best widths of all groups together are known exactly (`spaces.elimination`); the
price at which they just meet the limit bounds from below what any widths within it can reach. What
is left, the gap between that bound and the best widths found, is closed by going through widths in
the order of their Lagrangian, which is never above their total: once it reaches the best found,
nothing better is left.

Lagrangian bounds and their gap: Geoffrion, Lagrangean relaxation for integer programming, 1974.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from spaces.elimination import Elimination, Tables
from spaces.exchange import descended, exchanged
from spaces.problem import Places, Problem

MOST_STEPS = 5000
"""Partial widths that are looked at to close the gap."""
TRIED = 50
"""The first so many widths of that order, which are improved by exchanges: more come to no more."""
PRECISION = 1e-6
"""A relative gap that is none."""
CHEAP, RISE = 0.01, 1.2
"""The first price of a descent, as a share of the fair one, and the factor to the next."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The best widths found.

    Attributes:
        widths: int64 ``(G,)``, within the limit.
        total: the sum of their terms.
        bound: no widths within the limit have a lower total; -inf where nothing is proven.
    """

    widths: np.ndarray
    total: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the total may be above the least, as a share of the bound; 0 where that is
        proven, inf where nothing is."""
        if self.total <= self.bound:
            return 0.0
        return self.total / self.bound - 1 if self.bound > 0 else np.inf


def solve(problem: Problem) -> Solution:
    """The widths of the least total within the limit.

    >>> flops = Polynomial(0.0, np.array([1.0, 2.0]), np.zeros((2, 2)))
    >>> terms = [np.array([3.0, 1.0, 0.0]), np.array([9.0, 4.0, 0.0])]
    >>> solve(Problem(terms, [np.arange(1.0, 4)] * 2, flops, limit=8)).widths
    array([2, 3])

    Proven to be the best where ``total`` is ``bound``, as it is for most networks. Where layers
    read many others (DenseNet), so that elimination would take large tables, and where the gap
    takes too long to close, they are the best that exchanges between two groups come to.
    """
    free = [int(np.argmin(term)) for term in problem.terms]
    if problem.cost(free) <= problem.limit:
        return _solution(problem, free, problem.total(free))
    elimination = Elimination.of(problem.choices, problem.flops)
    if elimination is None:
        return _solution(problem, _by_descent(problem, free), -np.inf)
    tables, price, inside = _priced(problem, elimination, free)
    bound = tables.total + price * (problem.flops.constant - problem.limit)
    improved = [found for places in inside if (found := exchanged(problem, places)) is not None]
    return _closed(problem, tables, bound, min(improved, key=problem.total))


def _solution(problem: Problem, places: Places, bound: float) -> Solution:
    widths = problem.widths(places).astype(np.int64)
    return Solution(widths, problem.total(places), bound)


def _by_descent(problem: Problem, free: Places) -> Places:
    """Descent at prices that rise until the limit is met; then exchanges spend what is left."""
    least = [0] * len(free)
    # Of each term by itself: a difference of two totals may be rounded to 0, from where none rises.
    gain = sum(float(term[0] - term.min()) for term in problem.terms)
    fair = gain / (problem.cost(free) - problem.cost(least))
    places, price = free, CHEAP * fair
    while problem.cost(places) > problem.limit:
        places = descended(problem, places, price)
        price *= RISE
    return exchanged(problem, places) or places


def _priced(
    problem: Problem, elimination: Elimination, free: Places
) -> tuple[Tables, float, list[Places]]:
    """The tables at the price that bounds best, that price, and widths within the limit.

    By cutting planes: the next price is where the best widths within the limit and those beyond it
    cost the same.
    """
    inside: list[Places] = [[0] * len(problem.choices)]
    outside: list[Places] = [free]
    while True:
        low, high = inside[-1], outside[-1]
        gain = problem.total(low) - problem.total(high)
        price = gain / (problem.cost(high) - problem.cost(low))
        tables = elimination.tables(problem.terms, price)
        known = problem.total(low) + price * (problem.cost(low) - problem.flops.constant)
        places = tables.places()
        if tables.total >= known - PRECISION * abs(known) or places in (low, high):
            return tables, price, inside
        (inside if problem.cost(places) <= problem.limit else outside).append(places)


def _closed(problem: Problem, tables: Tables, bound: float, best: Places) -> Solution:
    """The best of all whose Lagrangian is below the total of ``best``, in its order."""
    total, tried = problem.total(best), 0
    order = [group for group, _ in reversed(tables.steps)]
    heap: list[tuple[float, int, tuple[int, ...]]] = [(bound, 0, ())]
    for _ in range(MOST_STEPS):
        if not heap or heap[0][0] >= total - PRECISION * abs(total):
            return _solution(problem, best, total)
        lagrangian, _, chosen = heapq.heappop(heap)
        known = dict(zip(order, chosen, strict=False))
        if len(chosen) < len(order):
            _, regrets = tables.next(known)
            for k in np.flatnonzero(lagrangian + regrets < total):
                entry = lagrangian + float(regrets[k]), -len(chosen) - 1, (*chosen, int(k))
                heapq.heappush(heap, entry)
            continue
        tried += 1
        places = [known[group] for group in range(len(order))]
        improved = exchanged(problem, places) if tried <= TRIED else places
        if improved and problem.cost(improved) <= problem.limit:
            best = min(best, improved, key=problem.total)
            total = problem.total(best)
    return _solution(problem, best, min(total, heap[0][0]) if heap else total)
