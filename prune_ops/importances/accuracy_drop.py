"""accuracy_drop: by how much accuracy falls when the worst channels of one group alone go."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from prune_ops.importances.cuts import Cut, Judged, best, some_widths
from prune_ops.importances.levels import at_one_level
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup


class AccuracyDrop:
    """A curve for each group: accuracy against the share of its channels that goes, untrained.

    The channels that go are the worst of the criterion's ranking (l1 in the paper); at most eight
    widths of a group are measured, the same networks that `iso_damage` judges by their loss. The
    paper reads from the curves, by eye, which layers are sensitive and should keep more. Here every
    group is cut as far as its own curve stays within one common drop, bisected until the budget is
    met. Accuracy on images that the network was trained on often does not fall at all for the first
    channels; the groups that bear that much are then cut alike.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.2.
    """

    name = "accuracy_drop"
    unit = "accuracy"

    def cuts(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> list[list[Cut]]:  # noqa: ARG002
        return [[best(group, ranking, width)] for width in self.widths(group)]

    def harm(self, judged: Judged) -> float:
        return -judged.accuracy

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        return some_widths(group)

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        return at_one_level(space, damages, budget)
