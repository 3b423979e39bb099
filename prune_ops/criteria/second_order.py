"""second_order: the curvature's estimate of what removing a channel adds to the loss."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prune_ops.channels import removal_damage
from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from spaces.groups import ChannelGroup


class SecondOrder(Criterion):
    """S_c = ½ Σ_{i∈c} h_ii w_i², the sum over *all* weights of the channel, each counted once.

    All: the filters and biases that produce it, its normalisations' parameters, scales in plain
    arithmetic, and the input slices of every consumer, over all layers of the group. h_ii is the
    empirical Fisher: the mean over *samples* of the squared gradient. Squaring the gradient of a
    batch instead would be smaller by about the batch size, and by another factor in every layer.

    In units of the loss, the same in every group, so it can be ranked globally.

    Definition: LeCun et al., Optimal Brain Damage, NeurIPS 1989 (the diagonal, summed over a
    channel), with the Fisher matrix for the Hessian as in Theis et al., Faster gaze prediction with
    dense networks and Fisher pruning, 2018.
    """

    name = "second_order"
    comparable = True
    requires = frozenset({"fisher"})

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> dict[str, Tensor]:
        parameters = evidence.parameters
        curvature = {name: h * parameters[name].square() for name, h in evidence.fisher.items()}
        return removal_damage(groups, parameters, curvature)
