"""The weights with which a layer makes up for inputs that it has lost, from what it reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from prune_ops.least_squares import finite
from prune_ops.moments import InputMoments
from spaces.groups import ChannelGroup, Member
from spaces.slicing import Selection

Slices = Sequence[tuple[ChannelGroup, Member]]
"""The groups that a weight reads, and where."""


def compensated(
    weight: Tensor, slices: Slices, moments: InputMoments, worth: Tensor, selection: Selection
) -> tuple[Tensor, Tensor | None]:
    """The weight in its full shape, 0 where channels are gone, and what the outputs' means lose.

    The rest of it minimises the expected error of the outputs, in the metric of
    `InputMoments.metric`; of layers that read too much, each kept channel's weights have one factor
    instead. What is lost, ``(O,)``, a bias or a BatchNorm should take up; None where none does.

    Args:
        worth: ``(2, O)``, as in ``CalibrationStats.output_fisher``.
        selection: the channels that stay; groups left out stay whole.

    Raises:
        UserError: the moments are not finite.
    """
    if moments.contributions:
        new = weight.clone()
        for group, member in slices:
            factors = channel_factors(moments.shared(group.name), kept(group, selection))
            scale_channels(new, member, factors)
        return new, None
    dim = slices[0][1].dim
    assert moments.within is not None
    stays = torch.ones(weight.shape[dim], dtype=torch.bool)
    for group, member in slices:
        stays[torch.as_tensor(member.index[~kept(group, selection).numpy()]).flatten()] = False
    rows = stays.repeat_interleave(kernel_size(weight)).to(weight.device)
    old = as_matrices(weight, dim, len(moments.within))
    new, lost = torch.zeros_like(old), []
    for place, (own, part) in enumerate(zip(old, worth.chunk(len(old), 1), strict=True)):
        metric = finite(moments.metric(place, part)[0])
        factor = torch.linalg.cholesky(metric[rows][:, rows])
        new[place, rows] = torch.cholesky_solve(metric[rows] @ own, factor)
        lost.append(moments.mean(place) @ (own - new[place]))
    return as_weight(new, weight, dim), torch.cat(lost) if moments.mean_at else None


def kept(group: ChannelGroup, selection: Selection) -> Tensor:
    """``(channels,)`` bool."""
    mask = torch.zeros(group.channels, dtype=torch.bool)
    mask[torch.as_tensor(selection.get(group.name, np.arange(group.channels)))] = True
    return mask


def channel_factors(shared: Tensor, mask: Tensor) -> Tensor:
    """``(channels,)``: what kept channels are multiplied by to make up for the others; 0 for those.

    Args:
        shared: ``(channels, channels)``, E[z zᵀ] of what each adds to the outputs.
    """
    mask = mask.to(shared.device)
    factors = mask.to(shared.dtype)
    right = finite(shared)[mask][:, ~mask].sum(1)
    factors[mask] += torch.linalg.solve(shared[mask][:, mask], right)
    return factors


def scale_channels(weight: Tensor, member: Member, factors: Tensor) -> None:
    """Multiply the channels' slices by their factors ``(channels,)``, in place."""
    along = factors.new_ones(weight.shape[member.dim])
    along[torch.as_tensor(member.index, device=weight.device)] = factors[:, None]
    weight.mul_(along.reshape(-1, *[1] * (weight.ndim - 1 - member.dim)).to(weight.dtype))


def kernel_size(weight: Tensor) -> int:
    """Positions under the kernel."""
    return weight[0, 0].numel() if weight.ndim > 2 else 1


def as_matrices(weight: Tensor, dim: int, groups: int) -> Tensor:
    """``(groups, U, O)`` float64: a layer's weight as what maps one group's inputs to its outputs.

    Args:
        dim: of the inputs: 1, or 0 in a transposed convolution, which has no groups here.
    """
    flat = weight.detach().double().reshape(*weight.shape[:2], -1)
    if dim == 0:
        return flat.permute(0, 2, 1).flatten(0, 1)[None]
    return flat.reshape(groups, -1, flat.shape[1] * flat.shape[2]).transpose(1, 2)


def as_weight(matrices: Tensor, like: Tensor, dim: int) -> Tensor:
    """The inverse of `as_matrices`, in the shape and dtype of ``like``."""
    if dim == 0:
        inputs, outputs = like.shape[:2]
        flat = matrices[0].reshape(inputs, -1, outputs).permute(0, 2, 1)
    else:
        flat = matrices.transpose(1, 2)
    return flat.reshape(like.shape).to(like.dtype)
