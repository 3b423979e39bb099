"""Dominance, front and hypervolume for two aims: accuracy up, and down what budgets limit: flops.

>>> front([(100, 0.90), (50, 0.91), (40, 0.85)])
[2, 1]
>>> hypervolume([(0.5, 0.9)], reference=(1.0, 0.0))
0.45
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from results.record import TrialRecord

Point = tuple[float, float]
"""(flops, accuracy)."""

UNIT_SQUARE: Point = (1.0, 0.0)
"""The reference for flops as a fraction: the unpruned network's, and no image right."""


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is at least as good as ``b`` in both aims and better in one."""
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other dominates, by rising flops.

    Equal points do not dominate each other, so both stay. A point without an accuracy (``nan``)
    is never on the front.
    """
    finite = [i for i, (_, accuracy) in enumerate(points) if not math.isnan(accuracy)]
    kept: list[int] = []
    for i in sorted(finite, key=lambda i: (points[i][0], -points[i][1])):
        if not kept or points[i][1] > points[kept[-1]][1] or points[i] == points[kept[-1]]:
            kept.append(i)
    return kept


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Area that the points dominate up to ``reference`` (the worst flops, the worst accuracy).

    In units of flops times accuracy; give flops as fractions to get a share of the unit square.
    """
    inside = [p for p in points if p[0] < reference[0] and p[1] > reference[1]]
    steps = [inside[i] for i in front(inside)]
    ends = [*steps, reference]
    return sum((right[0] - left[0]) * (left[1] - reference[1]) for left, right in pairwise(ends))


def trial_front(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The front among the trials that were trained to the top rung, by rising size.

    Accuracies after different numbers of epochs cannot be compared, so trials that ended at a
    lower rung are left out.
    """
    top = finished(records)
    return [top[i] for i in front([(r.size, r.val_accuracy) for r in top])]


def volume_of(front: Sequence[TrialRecord]) -> float:
    """The hypervolume of a front of trials, as a share of the unit square; as the history."""
    return hypervolume([(r.size_fraction, r.val_accuracy) for r in front], UNIT_SQUARE)


def finished(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete trials at the highest rung that a complete trial reached."""
    complete = [r for r in records if r.state == "complete" and not math.isnan(r.val_accuracy)]
    top = max((r.rung for r in complete), default=0)
    return [r for r in complete if r.rung == top]


def hypervolume_history(
    records: Sequence[TrialRecord], among: Callable[[TrialRecord], bool] = lambda _: True
) -> list[float]:
    """Hypervolume of the front after each trial that ended, by number: one value a trial.

    Of flops fractions and accuracies up to (1, 0), so a share of the unit square: it means nothing
    for a metric that is no share (`MetricInfo.is_share`). Trials that were
    stopped or failed count as evaluations, those that still run do not.

    Args:
        among: whose trials make up the front; the others still count as evaluations.
    """
    comparable = {r.number for r in finished(records) if among(r)}
    best: list[Point] = []
    volumes: list[float] = []
    for r in sorted(records, key=lambda r: r.number):
        if r.state == "running":
            continue
        point = (r.size_fraction, r.val_accuracy)
        volume = volumes[-1] if volumes else 0.0
        if r.number in comparable and not any(q == point or dominates(q, point) for q in best):
            best = [q for q in best if not dominates(point, q)] + [point]
            volume = max(volume, hypervolume(best, UNIT_SQUARE))  # sums differ in their last digit
        volumes.append(volume)
    return volumes
