"""l2: the Euclidean length of a channel's filters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prune_ops.channels import channel_sums, filters
from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from spaces.groups import ChannelGroup


class L2(Criterion):
    """S_c = √Σw² over the filters that produce channel c, taken as one long vector.

    So where several filters produce a channel (a residual stream, a depthwise convolution that
    follows) their squares are summed under one root. Biases, normalisations and the consumers'
    input slices are left out.

    Raw norms are not comparable across groups: a convolution before a BatchNorm is free of scale,
    and a wide layer's filters are longer. Rank :func:`prune_ops.normalised` scores instead.

    Definition: the ℓ₂ variant in Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """

    name = "l2"

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        parameters = evidence.parameters
        squares = {name: weight.square() for name, weight in parameters.items()}
        return {g.name: channel_sums(g, filters(g, parameters), squares).sqrt() for g in groups}
