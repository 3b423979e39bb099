"""second_order_hutchinson: second_order with the Hessian's own diagonal, estimated by probes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prune_ops.channels import removal_damage
from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from spaces.groups import ChannelGroup


class SecondOrderHutchinson(Criterion):
    """S_c = ½ Σ_{i∈c} h_ii w_i², the sum over *all* weights of the channel, each counted once.

    All: the filters and biases that produce it, its normalisations' parameters, scales in plain
    arithmetic, and the input slices of every consumer, over all layers of the group. h_ii is the
    diagonal of the Hessian of the mean loss in eval mode, by E[v ⊙ Hv] over signs v = ±1, two draws
    for every image; where h_ii comes out negative it counts as zero.

    In units of the loss, so it can be ranked globally. But probes see a weight's row of the Hessian
    with its diagonal, the row is the larger by far in a network, and what is clamped at zero does
    not average out: until images are very many, S_c is too large, by more in some groups than in
    others (in digits_cnn's groups at 256 images, 70 to 550 times second_order's sums).

    Definition: LeCun et al., Optimal Brain Damage, NeurIPS 1989 (the diagonal, summed over a
    channel), with the estimator of Bekas et al., An estimator for the diagonal of a matrix, Applied
    Numerical Mathematics 2007, after Hutchinson's of the trace.

    It needs a network and a loss that can be differentiated twice.
    """

    name = "second_order_hutchinson"
    comparable = True
    requires = frozenset({"curvature"})

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        curvature = {name: values.clamp(min=0) for name, values in evidence.curvature.items()}
        return removal_damage(groups, evidence.parameters, curvature)
