"""Scores: one criterion's value of every channel, and how they become comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from prune_ops.greedy import GreedyScores

Scores = Mapping[str, Tensor]
"""Group name → ``(channels,)`` float32 on the CPU; higher = keep."""


def normalised(scores: Scores) -> Scores:
    """The scores divided by their group's mean, so that groups can be ranked against each other.

    >>> import torch
    >>> normalised({"conv1": torch.tensor([1.0, 3.0])})
    {'conv1': tensor([0.5000, 1.5000])}

    Use it before a global ranking by a criterion whose ``comparable`` is false. The order within a
    group is unchanged, and a group of zeros stays zero.
    """

    def shares(values: Tensor) -> Tensor:
        mean = values.abs().mean()
        return values / mean if mean > 0 else values.clone()

    return mapped(scores, shares)


def mapped(scores: Scores, change: Callable[[Tensor], Tensor]) -> Scores:
    """``change`` applied to every group's values; greedy scores stay greedy."""
    values = {name: change(old) for name, old in scores.items()}
    return scores.having(values) if isinstance(scores, GreedyScores) else values
