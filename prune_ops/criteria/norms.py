"""l1, l2, l1_greedy, l2_greedy and weight_sum: norms of the filters that produce a channel."""

from __future__ import annotations

import torch

from prune_ops.channels import channel_sums, filters
from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores
from prune_ops.greedy import greedy
from prune_ops.scores import mapped


class FilterNorm(Criterion):
    """S_c = Σ|w| (l1) or √Σw² (l2) over the filters that produce channel c, as one long vector.

    Several filters produce a channel in a residual stream (one per block), and where a depthwise
    convolution follows. Biases, normalisations and the consumers' input slices are left out.

    The greedy variants also leave out the kernels of input channels that are already pruned. That
    depends on the policy, so their scores are :class:`GreedyScores`: as a mapping they are the
    *independent* norms, with nothing pruned, which a global ranking or predicted damage uses, while
    ``select`` walks the groups in network order and ranks each by its remaining kernels. Filters of
    a residual stream that lie behind layers of later groups count those inputs in full: the stream
    was ranked at its first filter.

    Norms are not comparable across groups: a convolution before a BatchNorm is free of scale, and a
    wide layer's filters are longer.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017: the ℓ₁ norm, its ℓ₂
    variant, and the greedy strategy of pruning filters across multiple layers.
    """

    def __init__(self, name: str, squared: bool = False, is_greedy: bool = False) -> None:
        self.name = name
        self._squared = squared
        self._is_greedy = is_greedy

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        parameters = stats.parameters
        values = {n: w.square() if self._squared else w.abs() for n, w in parameters.items()}
        sums: Scores = (
            greedy(groups, parameters, values)
            if self._is_greedy
            else {g.name: channel_sums(g, filters(g, parameters), values) for g in groups}
        )
        return mapped(sums, torch.sqrt) if self._squared else sums


NORMS = (
    FilterNorm("l1"),
    FilterNorm("weight_sum"),  # the name of l1 in the comparison of ThiNet, Luo et al., ICCV 2017
    FilterNorm("l1_greedy", is_greedy=True),
    FilterNorm("l2", squared=True),
    FilterNorm("l2_greedy", squared=True, is_greedy=True),
)
