"""hrank: the rank of a channel's feature map."""

from __future__ import annotations

from torch import Tensor, nn

from prune_ops.criterion import StatCriterion, lacking_activation
from spaces import Space


class HRank(StatCriterion):
    """S_c = the rank of channel c's feature map as a matrix, the mean over images.

    The map is the activation function's output; where a group passes several (a residual stream,
    one per block) it is the mean over them. A map without height, as after a linear layer, is a
    matrix of one row, whose rank is 1 unless it is all zero. Ranks differ by the zeros of a ReLU:
    the map of a smooth activation (GELU, SiLU) has nearly always full rank, so the score then
    hardly tells channels apart. The largest possible rank differs between layers.

    Definition: Lin et al., HRank: Filter Pruning using High-Rank Feature Map, CVPR 2020.
    """

    name = "hrank"
    requires = frozenset({"ranks"})

    def group_scores(self, stat: Tensor) -> Tensor:
        return stat.mean(0)

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        return lacking_activation(space)
