"""Testing a network: once, at its end, by the task's metric and class by class."""

from __future__ import annotations

from torch import nn

from results.record import NOT_COUNTED, ClassCounts
from search.task.task import Task
from search.training.loop import count_by_class, evaluate
from search.training.objective import ACCURACY


def test(model: nn.Module, task: Task) -> tuple[float, ClassCounts]:
    """The metric on the test split, and how a classifier did class by class.

    Raises:
        Diverged: outputs are NaN.
    """
    counts = count_by_class(model, task.test) if task.classifies else NOT_COUNTED
    if counts and task.metric == ACCURACY:
        return counts.accuracy, counts
    return evaluate(model, task.test, metric=task.metric), counts
