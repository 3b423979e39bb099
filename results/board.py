"""The trainings of a comparison at one budget, found by structure and arm.

>>> board = Board(comparison, "0.5")
>>> board.accuracy(board.best, "finetune")
{0: 0.912, 1: 0.915, 2: 0.913}
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from results.arms import ARMS
from results.comparison import ArmRecord, Comparison

By = Mapping[int, float]
"""Seed to accuracy on the test split."""


class Board:
    """The trainings of one budget, found by structure and arm.

    A place has one way of training; records of another, left from an earlier plan, do not count,
    nor do those of structures and arms that the comparison was not asked for this time.
    """

    def __init__(self, comparison: Comparison, budget: str) -> None:
        self.budget = budget
        self._at: dict[tuple[str, str], dict[int, ArmRecord]] = {}
        for r in comparison.arms:
            if r.budget == budget and _asked(comparison, r):
                place = self._at.setdefault((r.structure, r.arm), {})
                if not place or _way(r) == _way(next(iter(place.values()))):
                    place.setdefault(r.seed, r)

    @property
    def places(self) -> list[tuple[str, str, list[ArmRecord]]]:
        """Structures in the order of their first record, in each the arms in that of `ARMS`."""
        return [
            (structure, arm, list(self._at[structure, arm].values()))
            for structure in self.structures
            for arm in ARMS
            if (structure, arm) in self._at
        ]

    @property
    def structures(self) -> list[str]:
        """In the order of their first record."""
        return list(dict.fromkeys(structure for structure, _ in self._at))

    @property
    def best(self) -> str | None:
        """The searched structure that represents the budget: the best, else the first."""
        searched = [(s, r) for s, _, rs in self.places for r in rs if r.kind == "searched"]
        return max(searched, key=lambda each: each[1].best, default=(None, None))[0]

    @property
    def rivals(self) -> list[str]:
        """The predefined and discovered structures."""
        kinds = {s: r.kind for s, _, rs in self.places for r in rs}
        return [s for s in self.structures if kinds[s] != "searched"]

    def accuracy(self, structure: str | None, arm: str) -> dict[int, float]:
        """Seed to test accuracy of the trainings that did not fail."""
        found = self._at.get((structure or "", arm), {})
        return {s: r.test_accuracy for s, r in found.items() if math.isfinite(r.test_accuracy)}

    def ways(self, structure: str | None, arm: str) -> frozenset[object]:
        """How they were trained; equal for two places that are the same trainings."""
        return frozenset(_way(r) for r in self._at.get((structure or "", arm), {}).values())

    def spent(self, structure: str | None, arm: str) -> float:
        """Mean multiply-adds in all of the trainings that did not fail; ``nan`` without one."""
        found = self._at.get((structure or "", arm), {}).values()
        known = [r.total_flops for r in found if math.isfinite(r.test_accuracy)]
        return statistics.fmean(known) if known else math.nan

    def criterion(self, structure: str, arm: str) -> str:
        """Who chose the channels."""
        return next(iter(self._at[structure, arm].values())).criterion


def _asked(comparison: Comparison, r: ArmRecord) -> bool:
    structures, arms = (comparison.options.get(name) for name in ("structures", "arms"))
    structure = "searched" if r.kind == "searched" else r.structure
    return (not structures or structure in structures) and (not arms or r.arm in arms)


def _way(r: ArmRecord) -> tuple[object, ...]:
    return r.policy, r.weights, r.criterion, r.lr, r.epochs
