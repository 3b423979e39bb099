"""apoz: the share of a channel's activations that are not zero."""

from __future__ import annotations

from torch import Tensor, nn

from prune_ops.criterion import StatCriterion, lacking_activation
from spaces import Space


class APoZ(StatCriterion):
    """S_c = 1 − the share of zeros in channel c after the ReLU, over images and positions.

    Where a group passes several ReLUs (a residual stream, one per block; a depthwise convolution
    with its own) it is the mean over them. A ReLU6 counts as a ReLU. The ReLU's own output counts,
    before any pooling.

    Definition: Hu et al., Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient
    Deep Architectures, 2016: the average percentage of zeros, of which this is the complement.
    """

    name = "apoz"
    comparable = True
    requires = frozenset({"zeros"})

    def group_scores(self, stat: Tensor) -> Tensor:
        return 1 - stat.mean(0)

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        return lacking_activation(space, "a ReLU", rectifies=True)
