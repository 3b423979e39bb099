"""fpgm: the summed distance of a channel's filter from all others of its group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prune_ops.channels import filters
from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores
from spaces.groups import Member


class FPGM(Criterion):
    """S_c = Σ_j ‖F_c − F_j‖₂ over the filters F of the group, each one a long vector.

    The filter nearest to all others, close to their geometric median, is removed first: the others
    can replace it. So a small filter need not go, and of two equal ones neither is favoured.

    Where several filters produce a channel (a residual stream, a following depthwise convolution)
    they are concatenated into one vector, unscaled. Biases, normalisations and the consumers' input
    slices are left out.

    Distances are not comparable across groups: they grow with a layer's scale, which is arbitrary
    before a BatchNorm, and with the length and the number of its filters.

    Definition: He et al., Filter Pruning via Geometric Median for Deep Convolutional Neural
    Networks Acceleration, CVPR 2019.
    """

    name = "fpgm"

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        parameters = stats.parameters
        return {
            g.name: _distances(
                [_vectors(m, parameters[m.parameter]) for m in filters(g, parameters)]
            )
            for g in groups
        }


def _vectors(member: Member, weight: Tensor) -> Tensor:
    """``(channels, length)`` float64: what each channel owns of one weight."""
    index = torch.as_tensor(member.index, device=weight.device)
    return weight.movedim(member.dim, 0)[index].flatten(1).double()


def _distances(parts: Sequence[Tensor]) -> Tensor:
    """Each row's summed distance from all rows of the concatenated parts.

    By ‖a − b‖² = ‖a‖² + ‖b‖² − 2ab this is one matrix product, where a stream's rows would be too
    long to subtract in pairs; in float64 it is accurate to 1e-8 of a row's length.
    """
    products = torch.stack([part @ part.T for part in parts]).sum(0)
    squares = products.diagonal()
    return (squares[:, None] + squares - 2 * products).clamp(min=0).sqrt().sum(1)
