"""Scores: what one criterion says of every channel, and how they become comparable."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Scores = Mapping[str, Tensor]
"""Group name → ``(channels,)`` float32 on the CPU; the higher, the more the channel should stay."""


def normalised(scores: Scores) -> dict[str, Tensor]:
    """The scores in shares of their group's mean, so that groups can be ranked against each other.

    >>> import torch
    >>> normalised({"conv1": torch.tensor([1.0, 3.0])})
    {'conv1': tensor([0.5000, 1.5000])}

    Use it before a global ranking by a criterion whose ``comparable`` is false: a convolution
    before a BatchNorm is free of scale, so its raw norm says nothing beside another layer's.
    The order within a group stays. A group of zeros stays a group of zeros.
    """
    return {name: _shares(values) for name, values in scores.items()}


def _shares(values: Tensor) -> Tensor:
    mean = values.abs().mean()
    return values / mean if mean > 0 else values.clone()
