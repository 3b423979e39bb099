"""taylor_2016: the first-order change of the loss when a channel's activation is set to zero."""

from __future__ import annotations

from torch import Tensor, nn

from prune_ops.criterion import StatCriterion, lacking_activation
from spaces import Space


class Taylor2016(StatCriterion):
    """S_c = Θ_c / ‖Θ‖₂, Θ_c = mean over images of |mean over positions of z·∂L/∂z|.

    z is the channel's value after the activation function, L the image's own loss. The mean over
    positions is taken before the absolute value, the one over images after it: sums over images
    would cancel. ‖Θ‖₂ is over the channels of the same layer. Where a group passes several
    activation functions (a residual stream, one per block) S is the mean over them.

    Definition: Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient
    Inference, ICLR 2017.
    """

    name = "taylor_2016"
    comparable = True
    requires = frozenset({"saliencies"})

    def group_scores(self, stat: Tensor) -> Tensor:
        lengths = stat.norm(dim=1, keepdim=True)
        return (stat / lengths.where(lengths > 0, 1)).mean(0)

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        return lacking_activation(space)
