"""taylor_2019: the squared first-order change of the loss when a channel is removed."""

from __future__ import annotations

from torch import Tensor

from prune_ops.criterion import StatCriterion


class Taylor2019(StatCriterion):
    """S_c = mean over minibatches of (Σ_{i∈c} g_i w_i)², g the gradient of the minibatch's loss.

    The channel's weights i∈c are the parameters that make its values: the filters and biases that
    produce it, the scale and shift of its normalisations, and scales in plain arithmetic (layer
    scale). All are added up before squaring, across the layers of a residual stream too. The
    consumers' input slices are left out: they would count the same product twice.
    In squared units of the loss.

    Definition: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, the
    first-order score of a set of parameters.
    """

    name = "taylor_2019"
    comparable = True
    requires = frozenset({"attributions"})

    def group_scores(self, stat: Tensor) -> Tensor:
        return stat.square().mean(0)
