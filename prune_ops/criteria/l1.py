"""l1: the sum of a channel's absolute filter weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prune_ops.channels import channel_sums, filters
from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from spaces.groups import ChannelGroup


class L1(Criterion):
    """S_c = Σ|w| over the filters that produce channel c, summed where there are several.

    Several filters produce a channel in a residual stream (one a block), and where a depthwise
    convolution follows. Biases, normalisations and the consumers' input slices are left out.

    Raw norms are not comparable across groups: a convolution before a BatchNorm is free of scale,
    and a wide layer's filters are longer. Rank :func:`prune_ops.normalised` scores instead.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """

    def __init__(self, name: str = "l1") -> None:
        self.name = name

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        parameters = evidence.parameters
        sizes = {name: weight.abs() for name, weight in parameters.items()}
        return {g.name: channel_sums(g, filters(g, parameters), sizes) for g in groups}
