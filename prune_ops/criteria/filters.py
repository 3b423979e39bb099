"""l1, l2, their greedy variants, weight_sum and fpgm: by the filters that produce a channel.

Several produce one in a residual stream (one per block), and where a depthwise convolution follows:
they are one long vector, unscaled. Biases, normalisations and the consumers' input slices are left
out. Scores are not comparable across groups: a convolution before a BatchNorm is free of scale, and
a wide layer has longer filters, and more of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prune_ops.channels import channel_sums, filters
from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores
from prune_ops.greedy import greedy
from prune_ops.scores import mapped
from spaces.groups import Member


class FilterNorm(Criterion):
    """S_c = Σ|w| (l1) or √Σw² (l2) over the filters that produce channel c, without their biases.

    The greedy variants also leave out the kernels of input channels that are already pruned. That
    depends on the policy, so their scores are :class:`GreedyScores`: as a mapping they are the
    *independent* norms, with nothing pruned, which a global ranking or predicted damage uses, while
    ``select`` walks the groups in network order and ranks each by its remaining kernels. Filters of
    a residual stream that lie behind layers of later groups count those inputs in full: the stream
    was ranked at its first filter.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017: the ℓ₁ norm, its ℓ₂
    variant, and the greedy strategy of pruning filters across multiple layers.
    """

    _squared = False
    _is_greedy = False

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        parameters = stats.parameters
        values = {n: w.square() if self._squared else w.abs() for n, w in parameters.items()}
        sums: Scores = (
            greedy(groups, parameters, values)
            if self._is_greedy
            else {g.name: channel_sums(g, filters(g, parameters), values) for g in groups}
        )
        return mapped(sums, torch.sqrt) if self._squared else sums


class L1(FilterNorm):
    """Sum of the absolute weights of a channel's filters.

    S_c = Σ|w| over the filters that produce channel c.
    """

    name = "l1"


class WeightSum(FilterNorm):
    """Another name for l1, from the paper of ThiNet.

    The name of l1 in the comparison of ThiNet, Luo et al., ICCV 2017.
    """

    name = "weight_sum"


class L1Greedy(FilterNorm):
    """As l1, without weights that read pruned channels.

    The same, without the kernels of input channels that are pruned already.
    """

    name = "l1_greedy"
    _is_greedy = True


class L2(FilterNorm):
    """Root of the summed squared weights of its filters.

    S_c = √Σw² over the filters that produce channel c.
    """

    name = "l2"
    _squared = True


class L2Greedy(L2):
    """As l2, without weights that read pruned channels.

    The same, without the kernels of input channels that are pruned already.
    """

    name = "l2_greedy"
    _is_greedy = True


class FPGM(Criterion):
    """Distance from all other filters: odd ones stay.

    S_c = Σ_j ‖F_c − F_j‖₂ over the filters F of the group, each one a long vector.

    The filter nearest to all others, close to their geometric median, is removed first: the others
    can replace it. So a small filter need not go, and of two equal ones neither is favoured.

    Definition: He et al., Filter Pruning via Geometric Median for Deep Convolutional Neural
    Networks Acceleration, CVPR 2019.
    """

    name = "fpgm"

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        parameters = stats.parameters
        return {g.name: _distances(filters(g, parameters), parameters) for g in groups}


def _distances(members: Sequence[Member], parameters: Mapping[str, Tensor]) -> Tensor:
    """Each channel's summed distance from all others.

    By ‖a − b‖² = ‖a‖² + ‖b‖² − 2ab this is one matrix product, where a stream's rows would be too
    long to subtract in pairs; in float64 it is accurate to 1e-8 of a row's length.
    """
    products = []
    for member in members:
        weight = parameters[member.parameter]
        index = torch.as_tensor(member.index, device=weight.device)
        rows = weight.movedim(member.dim, 0)[index].flatten(1).double()
        products.append(rows @ rows.T)
    product = torch.stack(products).sum(0)
    squares = product.diagonal()
    return (squares[:, None] + squares - 2 * product).clamp(min=0).sqrt().sum(1)
