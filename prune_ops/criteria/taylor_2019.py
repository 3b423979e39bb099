"""taylor_2019: the squared first-order change of the loss when a channel is removed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prune_ops.calibration_stats import CalibrationStats
from prune_ops.criterion import Criterion
from spaces.groups import ChannelGroup


class Taylor2019(Criterion):
    """S_c = mean over minibatches of (Σ_{i∈c} g_i w_i)², g the gradient of the minibatch's loss.

    The channel's weights i∈c are the parameters that make its values: the filters and biases that
    produce it, the scale and shift of its normalisations, and scales in plain arithmetic (layer
    scale). All are added up before squaring, across the layers of a residual stream too. The
    consumers' input slices are left out: they would count the same product twice.

    In squared units of the loss, the same in every group, so it can be ranked globally.

    Definition: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, the
    first-order score of a set of parameters.
    """

    name = "taylor_2019"
    comparable = True
    requires = frozenset({"attributions"})

    def __call__(
        self, groups: Sequence[ChannelGroup], stats: CalibrationStats
    ) -> dict[str, Tensor]:
        return {g.name: stats.attributions[g.name].square().mean(0) for g in groups}
