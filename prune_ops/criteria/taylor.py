"""taylor_2019, second_order, second_order_hutchinson: the loss's Taylor series in the weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from prune_ops.channels import channel_sums, weights
from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores, StatCriterion


class Taylor2019(StatCriterion):
    """Change of the loss if its weights were zero.

    S_c = mean over minibatches of (Σ_{i∈c} g_i w_i)², g the gradient of the minibatch's loss.

    The channel's weights i∈c are the parameters that make its values: the filters and biases that
    produce it, the scale and shift of its normalisations, and scales in plain arithmetic (layer
    scale). All are added up before squaring, across the layers of a residual stream too. The
    consumers' input slices are left out: they would count the same product twice. In squared units
    of the loss.

    Definition: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, the
    first-order score of a set of parameters.
    """

    name = "taylor_2019"
    comparable = True
    requires = frozenset({"attributions"})

    def group_scores(self, stat: Tensor) -> Tensor:
        return stat.square().mean(0)


class SecondOrder(Criterion):
    """Rise of the loss without it, by second derivatives.

    S_c = ½ Σ_{i∈c} h_ii w_i², summed over *all* weights of the channel, each counted once.

    All: those of ``taylor_2019`` and the input slices of every consumer, over all layers of the
    group. h_ii is the empirical Fisher: the mean over *samples* of the squared gradient. Squaring
    the gradient of a batch instead would be smaller by about the batch size, and by another factor
    in every layer. In units of the loss, comparable across groups.

    Definition: LeCun et al., Optimal Brain Damage, NeurIPS 1989 (the diagonal, summed over a
    channel), with the Fisher matrix for the Hessian as in Theis et al., Faster gaze prediction with
    dense networks and Fisher pruning, 2018.
    """

    name = "second_order"
    comparable = True
    requires = frozenset({"fisher"})

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        parameters = stats.parameters
        curvature = {name: h * parameters[name].square() for name, h in stats.fisher.items()}
        return _damages(groups, parameters, curvature)


class SecondOrderHutchinson(Criterion):
    """As second_order, with the Hessian's own diagonal.

    The same sum, with the Hessian's own diagonal in place of the Fisher's.

    h_ii is the diagonal of the Hessian of the mean loss in eval mode, estimated as E[v ⊙ Hv] over
    random signs v = ±1, two draws per image; a negative estimate counts as zero. The network and
    the loss must be twice differentiable.

    It can be ranked globally. But each probe mixes a weight's row of the Hessian, by far the larger
    part in a network, into its diagonal, and clamping at zero keeps that noise from averaging out:
    unless there are very many images S_c is too large, by a factor that differs between groups (in
    digits_cnn at 256 images, 70 to 550 times second_order's sums).

    Definition: as ``second_order``, with the estimator of Bekas et al., An estimator for the
    diagonal of a matrix, Applied Numerical Mathematics 2007, after Hutchinson's of the trace.
    """

    name = "second_order_hutchinson"
    comparable = True
    requires = frozenset({"curvature"})

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        curvature = {name: values.clamp(min=0) for name, values in stats.curvature.items()}
        return _damages(groups, stats.parameters, curvature)


def _damages(
    groups: Groups, parameters: Mapping[str, Tensor], curvature: Mapping[str, Tensor]
) -> Scores:
    """Half the sum of ``curvature``, h_ii w_i² by parameter name, over each channel's weights."""
    damage = {name: values / 2 for name, values in curvature.items()}
    return {g.name: channel_sums(g, weights(g, parameters), damage) for g in groups}
