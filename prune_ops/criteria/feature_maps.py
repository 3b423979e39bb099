"""apoz, hrank and taylor_2016: statistics of a channel after its activation functions."""

from __future__ import annotations

from torch import Tensor, nn

from prune_ops.criterion import StatCriterion, lacking
from spaces import Space


class FeatureMapCriterion(StatCriterion):
    """Scores the outputs of activation functions, before any pooling.

    Where a group passes several (a residual stream, one per block; a depthwise convolution with its
    own) the score is the mean over them.

    Attributes:
        needs: what every group must pass, in words.
        rectifies: whether only a ReLU will do; a ReLU6 counts as one.
    """

    needs = "an activation function"
    rectifies = False

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        relevant = [a for a in space.activations if a.rectifies or not self.rectifies]
        passing = {name for activation in relevant for name in activation.channels}
        missing = [g.name for g in space.groups if g.name not in passing]
        return lacking(f"{self.needs} that every group passes", "for", missing)


class APoZ(FeatureMapCriterion):
    """How rarely a channel is zero after its ReLU.

    S_c = 1 − the share of zeros in channel c after the ReLU, over images and positions.

    Definition: Hu et al., Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient
    Deep Architectures, 2016: the average percentage of zeros, of which this is the complement.
    """

    name = "apoz"
    comparable = True
    requires = frozenset({"zeros"})
    needs = "a ReLU"
    rectifies = True

    def group_scores(self, stat: Tensor) -> Tensor:
        return 1 - stat.mean(0)


class HRank(FeatureMapCriterion):
    """How varied its feature maps are: their matrix rank.

    S_c = the rank of channel c's feature map as a matrix, the mean over images.

    A map without height, as after a linear layer, is a matrix of one row, whose rank is 1 unless it
    is all zero. Ranks differ by the zeros of a ReLU: the map of a smooth activation (GELU, SiLU)
    has nearly always full rank, so the score then hardly tells channels apart. The largest possible
    rank differs between layers.

    Definition: Lin et al., HRank: Filter Pruning using High-Rank Feature Map, CVPR 2020.
    """

    name = "hrank"
    requires = frozenset({"ranks"})

    def group_scores(self, stat: Tensor) -> Tensor:
        return stat.mean(0)


class Taylor2016(FeatureMapCriterion):
    """Change of the loss if its outputs were zero.

    S_c = Θ_c / ‖Θ‖₂, Θ_c = mean over images of |mean over positions of z·∂L/∂z|.

    z is the channel's value after the activation function, L the image's own loss, ‖Θ‖₂ over the
    channels of the same layer: the first-order change of the loss when the activation is set to
    zero. The mean over positions is taken before the absolute value, the one over images after it:
    sums over images would cancel.

    Definition: Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient
    Inference, ICLR 2017.
    """

    name = "taylor_2016"
    comparable = True
    requires = frozenset({"saliencies"})

    def group_scores(self, stat: Tensor) -> Tensor:
        lengths = stat.norm(dim=1, keepdim=True)
        return (stat / lengths.where(lengths > 0, 1)).mean(0)
