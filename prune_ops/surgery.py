"""surgery: policy + scores + model → a smaller model."""

from __future__ import annotations

from torch import nn

from prune_ops.scores import Scores
from prune_ops.select import select
from spaces import Space, slice_model
from spaces.policy import Policy


def prune(model: nn.Module, space: Space, policy: Policy, scores: Scores) -> nn.Module:
    """A new, smaller network that keeps the policy's number of best channels in every group.

    >>> small = prune(model, space, space.uniform(0.5), scores["second_order"])  # doctest: +SKIP

    ``model`` is untouched. The kept weights, biases and statistics are those of ``model``; module
    attributes (``out_channels``, ``groups``, …) follow the tensors.

    Raises:
        UserError: the policy or the scores were made for another space.
        ModelError: the model is not the one that the space was discovered on.
    """
    return slice_model(model, space, select(space, policy, scores))
