"""Candidate: a policy, and all that a proxy may look at to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from prune_ops.scores import Scores
from spaces import Space
from spaces.policy import Policy


@dataclass(frozen=True)
class Candidate:
    """One policy, already cut, before any training.

    Attributes:
        policy: the widths to judge.
        space: the groups that it speaks of.
        scores: of every channel of the unpruned network, by the trial's criterion.
        pruned: the network that surgery made; a proxy leaves it as it is.
        calibration: batches ``(inputs, targets)`` of training data, on the network's device.
        held_out: batches of other training data, for a score that calibration must not have seen.
    """

    policy: Policy
    space: Space
    scores: Scores
    pruned: nn.Module
    calibration: Sequence[tuple[Tensor, Tensor]]
    held_out: Sequence[tuple[Tensor, Tensor]]
