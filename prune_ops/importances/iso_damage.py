"""iso_damage: the loss of cutting each group alone, and widths that all do the same damage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from prune_ops.importances.cuts import Cut, Judged, best, some_widths
from prune_ops.importances.levels import at_one_level
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup


class IsoDamage:
    """A table, group × width: by how much this one change raises the loss, made monotone.

    The channels that go are the worst of the criterion's ranking; the network is judged as it
    stands, its BatchNorm statistics those of the unpruned one. Of a group with more than eight
    widths on the lattice eight are measured and the rest lie on straight lines between them. Once
    measured, the table serves every budget: at one common damage every group takes its smallest
    width that does at most that, and bisection finds the least damage that meets the budget.

    The sum over groups is the proxy of this name. Both are blind to what two cuts do together.
    """

    name = "iso_damage"
    unit = "loss"

    def cuts(self, group: ChannelGroup, ranking: np.ndarray, seed: int) -> list[list[Cut]]:  # noqa: ARG002
        return [[best(group, ranking, width)] for width in self.widths(group)]

    def harm(self, judged: Judged) -> float:
        return judged.loss

    def widths(self, group: ChannelGroup) -> tuple[int, ...]:
        return some_widths(group)

    def policy(self, space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
        return at_one_level(space, damages, budget)
