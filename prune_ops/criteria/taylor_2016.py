"""taylor_2016: the first-order change of the loss when a channel's activation is set to zero."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from prune_ops.calibration_stats import CalibrationStats
from prune_ops.criterion import Criterion, lacking_activation
from spaces import Space
from spaces.groups import ChannelGroup


class Taylor2016(Criterion):
    """S_c = Θ_c / ‖Θ‖₂, Θ_c = mean over images of |mean over positions of z·∂L/∂z|.

    z is the channel's value after the activation function, L the image's own loss. The mean over
    positions is taken before the absolute value, the one over images after it: sums over images
    would cancel. ‖Θ‖₂ is over the channels of the same layer. Where a group passes several
    activation functions (a residual stream, one per block) S is the mean over them.

    As in the paper the norm makes layers comparable, so it can be ranked globally.

    Definition: Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient
    Inference, ICLR 2017.
    """

    name = "taylor_2016"
    comparable = True
    requires = frozenset({"saliencies"})

    def __call__(
        self, groups: Sequence[ChannelGroup], stats: CalibrationStats
    ) -> dict[str, Tensor]:
        return {g.name: _normed(stats.saliencies[g.name]).mean(0) for g in groups}

    def lacks(self, model: nn.Module, space: Space) -> str:  # noqa: ARG002
        return lacking_activation(space)


def _normed(saliencies: Tensor) -> Tensor:
    """``(uses, channels)``, each use divided by its norm; one that is all zero stays zero."""
    lengths = saliencies.norm(dim=1, keepdim=True)
    return saliencies / lengths.where(lengths > 0, lengths.new_ones(()))
