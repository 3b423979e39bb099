"""select: policy + scores → selection."""

from __future__ import annotations

import numpy as np

from prune_ops.scores import Scores
from spaces import Space
from spaces.errors import UserError
from spaces.groups import ChannelGroup
from spaces.policy import Policy

Selection = dict[str, np.ndarray]
"""Group name → ascending int64 indices of the channels that stay."""


def select(space: Space, policy: Policy, scores: Scores) -> Selection:
    """In every group, the ``policy[group]`` channels of the highest score.

    >>> select(space, Policy({"conv1": 2}), {"conv1": tensor([0.3, 0.9, 0.3])})  # doctest: +SKIP
    {'conv1': array([0, 1])}

    Channels of equal score stay in the order of their index.

    Raises:
        UserError: the policy or the scores were made for another model.
    """
    widths = space.widths(policy)
    rankings = ranked(space, scores)
    return {
        group.name: np.sort(rankings[group.name][: int(width)])
        for group, width in zip(space.groups, widths, strict=True)
    }


def ranked(space: Space, scores: Scores) -> dict[str, np.ndarray]:
    """Group name → its channels, the best first; of equal ones the lower index first.

    Raises:
        UserError: the scores were made for another model.
    """
    return {
        group.name: np.argsort(-_scores_of(group, scores), kind="stable") for group in space.groups
    }


def _scores_of(group: ChannelGroup, scores: Scores) -> np.ndarray:
    values = scores[group.name].numpy(force=True) if group.name in scores else np.empty(0)
    if len(values) != group.channels:
        raise UserError(
            f"scores must be given for the {group.channels} channels of group {group.name!r}, but "
            f"there are {len(values)}; score the model that is pruned"
        )
    return values
