"""Scores: what one criterion says of every channel, and how they become comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from prune_ops.greedy import GreedyScores

Scores = Mapping[str, Tensor]
"""Group name → ``(channels,)`` float32 on the CPU; the higher, the more the channel should stay."""


def normalised(scores: Scores) -> Scores:
    """The scores in shares of their group's mean, so that groups can be ranked against each other.

    >>> import torch
    >>> normalised({"conv1": torch.tensor([1.0, 3.0])})
    {'conv1': tensor([0.5000, 1.5000])}

    Use it before a global ranking by a criterion whose ``comparable`` is false: a convolution
    before a BatchNorm is free of scale, so its raw norm says nothing beside another layer's.
    The order within a group stays. A group of zeros stays a group of zeros.
    """
    return mapped(scores, _shares)


def mapped(scores: Scores, change: Callable[[Tensor], Tensor]) -> Scores:
    """The scores with every group's values changed alike; what else they know stays."""
    values = {name: change(old) for name, old in scores.items()}
    return scores.having(values) if isinstance(scores, GreedyScores) else values


def _shares(values: Tensor) -> Tensor:
    mean = values.abs().mean()
    return values / mean if mean > 0 else values.clone()
