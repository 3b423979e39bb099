"""The trainings of a comparison, by structure and arm.

>>> board = Board(comparison, "0.5")
>>> board.accuracy(board.best, "finetune")
{0: 0.912, 1: 0.915, 2: 0.913}
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from results.arms import ARMS
from results.comparison import ArmRecord, Comparison

By = Mapping[int, float]
"""Seed to score on the test split."""


class Board:
    """The trainings of one budget, by structure and arm.

    All trainings of a structure in an arm are alike; records of other ones, left from an earlier
    plan, do not count, nor do those of structures and arms outside the comparison's options.
    """

    def __init__(self, comparison: Comparison, budget: str) -> None:
        self.budget = budget
        self._at: dict[tuple[str, str], dict[int, ArmRecord]] = {}
        for r in comparison.arms:
            if r.budget == budget and _in_options(comparison, r):
                by_seed = self._at.setdefault((r.structure, r.arm), {})
                if not by_seed or _way(r) == _way(next(iter(by_seed.values()))):
                    by_seed.setdefault(r.seed, r)

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
        return max(searched, key=lambda pair: pair[1].best, default=(None, None))[0]

    @property
    def rivals(self) -> list[str]:
        """The predefined and discovered structures."""
        kinds = {s: r.kind for s, _, rs in self.places for r in rs}
        return [s for s in self.structures if kinds[s] != "searched"]

    def accuracy(self, structure: str | None, arm: str) -> dict[int, float]:
        """Seed to test score of the trainings that did not fail."""
        records = self._of(structure, arm)
        return {r.seed: r.test_accuracy for r in records if math.isfinite(r.test_accuracy)}

    def ways(self, structure: str | None, arm: str) -> frozenset[object]:
        """How they were trained; equal if two arms or structures share their trainings."""
        return frozenset(map(_way, self._of(structure, arm)))

    def spent(self, structure: str | None, arm: str) -> float:
        """Mean multiply-adds in all of the trainings that did not fail; ``nan`` without one."""
        records = self._of(structure, arm)
        flops = [r.total_flops for r in records if math.isfinite(r.test_accuracy)]
        return statistics.fmean(flops) if flops else math.nan

    def criterion(self, structure: str | None, arm: str) -> str:
        """The criterion that chose the channels; empty without a training."""
        return next((r.criterion for r in self._of(structure, arm)), "")

    def _of(self, structure: str | None, arm: str) -> list[ArmRecord]:
        return list(self._at.get((structure or "", arm), {}).values())


def _in_options(comparison: Comparison, r: ArmRecord) -> bool:
    structures, arms = (comparison.options.get(name) for name in ("structures", "arms"))
    structure = "searched" if r.kind == "searched" else r.structure
    return (not structures or structure in structures) and (not arms or r.arm in arms)


def _way(r: ArmRecord) -> tuple[object, ...]:
    return r.policy, r.weights, r.criterion, r.lr, r.epochs, r.distill, r.temperature


@dataclass(frozen=True, slots=True)
class ArmMean:
    """One structure in one arm.

    Attributes:
        first: the first of its trainings; FLOPs are of one seed.
        accuracy: on the test split, of the seeds that did not fail.
        failed: how many seeds did.
        total_relative: ``first.total_flops`` in multiples of the unpruned network's own training;
            ``nan`` where no record says what that took.
    """

    first: ArmRecord
    accuracy: tuple[float, ...]
    failed: int
    total_relative: float


def means(comparison: Comparison) -> list[ArmMean]:
    """One for each budget, structure and arm."""
    unpruned, every = unpruned_flops(comparison) or math.nan, []
    for _, _, records in (p for b in comparison.budgets for p in Board(comparison, b).places):
        accuracy = tuple(r.test_accuracy for r in records if math.isfinite(r.test_accuracy))
        failed, relative = len(records) - len(accuracy), records[0].total_flops / unpruned
        every.append(ArmMean(records[0], accuracy, failed, relative))
    return every


def unpruned_flops(comparison: Comparison) -> int:
    """Multiply-adds of the unpruned network's own training; 0 where no record says.

    It is what inherited weights took; Scratch-E, as many epochs of a smaller network, tells it too.
    The sparse training that slimming inherits from is another one and counts only if nothing else
    says, and if it stands alone: distillation adds the unpruned network's.
    """
    inheriting = [r for r in comparison.arms if r.inherited_flops]
    inherited = (r.inherited_flops for r in inheriting if r.criterion != "slimming")
    sparse = (r.inherited_flops for r in inheriting if not r.distill)
    fresh = (r for r in comparison.arms if r.arm == "scratch-e" and r.flops_fraction)
    by_epochs = (round(r.training_flops / r.flops_fraction) for r in fresh)
    return next(chain(inherited, by_epochs, sparse), 0)
