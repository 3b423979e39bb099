"""select: policy + scores → selection."""

from __future__ import annotations

import numpy as np

from prune_ops.greedy import GreedyScores
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

    Channels of equal score stay in the order of their index. Greedy scores are of what the groups
    before have kept.

    Raises:
        UserError: the policy or the scores were made for another model.
    """
    widths = space.widths(policy)
    kept: Selection = {}
    for group, width in zip(space.groups, widths, strict=True):
        kept[group.name] = np.sort(_ranking(group, scores, kept)[: int(width)])
    return kept


def ranked(space: Space, scores: Scores) -> dict[str, np.ndarray]:
    """Group name → its channels, the best first while all other groups are whole.

    Of equal ones the lower index comes first.

    Raises:
        UserError: the scores were made for another model.
    """
    return {group.name: _ranking(group, scores, {}) for group in space.groups}


def _ranking(group: ChannelGroup, scores: Scores, kept: Selection) -> np.ndarray:
    return np.argsort(-_scores_of(group, scores, kept), kind="stable")


def _scores_of(group: ChannelGroup, scores: Scores, kept: Selection) -> np.ndarray:
    values = scores[group.name].numpy(force=True) if group.name in scores else np.empty(0)
    if len(values) != group.channels:
        raise UserError(
            f"scores must be given for the {group.channels} channels of group {group.name!r}, but "
            f"there are {len(values)}; score the model that is pruned"
        )
    if isinstance(scores, GreedyScores):
        return scores.given(group.name, kept).numpy()
    return values
