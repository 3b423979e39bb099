"""Testing a network: once, at its end, by the task's metric and class by class."""

from __future__ import annotations

from torch import nn

from results.record import NOT_COUNTED, ClassCounts
from search.data.splits import Split
from search.training.loop import count_by_class, evaluate
from search.training.objective import ACCURACY, Metric


def on_test_split(
    model: nn.Module, split: Split, metric: Metric, classifies: bool
) -> tuple[float, ClassCounts]:
    """The score on the test split, and how a classifier did class by class.

    Args:
        classifies: whether the split has images and labels, and the network gives logits.

    Raises:
        Diverged: outputs are NaN.
    """
    counts = count_by_class(model, split) if classifies else NOT_COUNTED
    if counts and metric == ACCURACY:
        return counts.accuracy, counts
    return evaluate(model, split, metric=metric), counts
