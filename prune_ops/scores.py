"""Scores: one criterion's value of every channel, and the channels that they keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor

from prune_ops.greedy import GreedyScores
from spaces import Space
from spaces.errors import UserError
from spaces.groups import ChannelGroup
from spaces.policy import Policy

Scores = Mapping[str, Tensor]
"""Group name → ``(channels,)`` float32 on the CPU; higher = keep."""

Selection = dict[str, np.ndarray]
"""Group name → ascending int64 indices of the kept channels."""


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
    return replace(scores, independent=values) if isinstance(scores, GreedyScores) else values


def select(space: Space, policy: Policy, scores: Scores) -> Selection:
    """In every group, the ``policy[group]`` channels of the highest score.

    >>> select(space, Policy({"conv1": 2}), {"conv1": tensor([0.3, 0.9, 0.3])})  # doctest: +SKIP
    {'conv1': array([0, 1])}

    Of equal scores the lower index is kept. Greedy scores depend on what earlier groups keep.

    Raises:
        UserError: the policy or the scores were made for another model.
    """
    _check(policy, scores)
    widths = space.widths(policy)
    kept: Selection = {}
    for group, width in zip(space.groups, widths, strict=True):
        kept[group.name] = np.sort(_ranking(group, scores, kept)[: int(width)])
    return kept


def _check(policy: Policy, scores: Scores) -> None:
    """Raise UserError if the policy or the scores have another type, or a score is nan."""
    if not isinstance(policy, Policy):
        raise UserError(
            f"a policy must be a spaces.Policy, but got {type(policy).__name__}; take "
            "space.uniform(0.5), or spaces.Policy({...}) of every group's width"
        )
    if not isinstance(scores, Mapping) or not all(isinstance(v, Tensor) for v in scores.values()):
        raise UserError(
            "scores must be a tensor for every group, as of one criterion of prune_ops.score, but "
            f'got {type(scores).__name__}; take prune_ops.score(..., ["l1"])["l1"]'
        )
    if broken := [name for name, values in scores.items() if values.isnan().any()]:
        raise UserError(
            f"scores must be numbers, but those of {', '.join(broken[:3])} hold nan; score again"
        )


def ranked(space: Space, scores: Scores) -> dict[str, np.ndarray]:
    """Group name → its channels, best first, while all other groups are whole."""
    return {group.name: _ranking(group, scores, {}) for group in space.groups}


def _ranking(group: ChannelGroup, scores: Scores, kept: Selection) -> np.ndarray:
    values = scores[group.name].numpy(force=True) if group.name in scores else np.empty(0)
    if len(values) != group.channels:
        raise UserError(
            f"scores must be given for the {group.channels} channels of group {group.name!r}, but "
            f"there are {len(values)}; score the model that is pruned"
        )
    if isinstance(scores, GreedyScores):
        values = scores.given(group.name, kept).numpy()
    return np.argsort(-values, kind="stable")
