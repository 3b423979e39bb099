"""Accuracy and cost of each arm of a comparison.

>>> arm_means(run.compared).set_index("arm")["mean"]
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from results.board import Board
from results.comparison import ArmRecord, Comparison
from results.frames import columns

ORDER = (
    "budget structure kind best arm weights criterion flops flops_fraction mean deviation n failed "
    "epochs lr training_flops inherited_flops total_flops total_relative"
)


@dataclass(frozen=True, slots=True)
class ArmMean:
    """One structure in one arm; FLOPs are of one seed.

    Attributes:
        first: the first of its trainings.
        mean, deviation: of the test accuracy of the ``n`` seeds that did not fail.
        total_relative: ``first.total_flops`` in multiples of the unpruned network's own training;
            ``nan`` where no record says what that took.
    """

    first: ArmRecord
    accuracy: tuple[float, ...]
    failed: int
    total_relative: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracy) if self.accuracy else math.nan

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.accuracy) if len(self.accuracy) > 1 else math.nan

    @property
    def n(self) -> int:
        return len(self.accuracy)


def means(comparison: Comparison) -> list[ArmMean]:
    """One for each budget, structure and arm."""
    unpruned = unpruned_flops(comparison) or math.nan
    places = (p for b in comparison.budgets for p in Board(comparison, b).places)
    return [_mean(records, unpruned) for _, _, records in places]


def _mean(records: list[ArmRecord], unpruned: float) -> ArmMean:
    accuracy = tuple(r.test_accuracy for r in records if math.isfinite(r.test_accuracy))
    relative = records[0].total_flops / unpruned
    return ArmMean(records[0], accuracy, len(records) - len(accuracy), relative)


def arm_means(comparison: Comparison) -> pd.DataFrame:
    """The same as a table; see `ArmMean`."""
    return pd.DataFrame(columns(ArmMean, means(comparison), ORDER, rest=False))


def unpruned_flops(comparison: Comparison) -> int:
    """Multiply-adds of the unpruned network's own training; 0 where no record says.

    It is what inherited weights took; Scratch-E, as many epochs of a smaller network, tells it too.
    The sparse training that slimming inherits from is another one and counts only if nothing else
    says.
    """
    inheriting = [r for r in comparison.arms if r.inherited_flops]
    inherited = (r.inherited_flops for r in inheriting if r.criterion != "slimming")
    sparse = (r.inherited_flops for r in inheriting)
    fresh = (r for r in comparison.arms if r.arm == "scratch-e" and r.flops_fraction)
    by_epochs = (round(r.training_flops / r.flops_fraction) for r in fresh)
    return next(chain(inherited, by_epochs, sparse), 0)
