"""Which weights belong to a channel, and sums over them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from spaces.groups import ChannelGroup, Member
from spaces.labels import Kind

EVERYWHERE: frozenset[Kind] = frozenset({"out", "in", "norm", "scale"})
"""All weights that are removed with the channel, the input slices of its consumers among them."""

PRODUCERS: frozenset[Kind] = frozenset({"out", "norm", "scale"})
"""The weights that make the channel's values, up to where the next layer reads them."""


def detached(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter under every name it has, without gradient; one object per parameter."""
    named = list(model.named_parameters(remove_duplicate=False))
    unique = {id(parameter): parameter.detach() for _, parameter in named}
    return {name: unique[id(parameter)] for name, parameter in named}


def weights(
    group: ChannelGroup, parameters: Mapping[str, Tensor], kinds: Collection[Kind] = EVERYWHERE
) -> list[Member]:
    """The group's members that are weights of these kinds, a parameter with two names only once."""
    unique: dict[tuple[int, int], Member] = {}
    for member in group.members:
        if member.kind in kinds and member.parameter in parameters:
            unique.setdefault((id(parameters[member.parameter]), member.dim), member)
    return list(unique.values())


def filters(group: ChannelGroup, parameters: Mapping[str, Tensor]) -> list[Member]:
    """The filters that produce the group's channels, depthwise ones included, without biases.

    For a group that no filter produces (a bare parameter opens the graph, say) all its weights, so
    that its channels can still be told apart.
    """
    producers = weights(group, parameters, {"out"})
    return [m for m in producers if parameters[m.parameter].ndim > 1] or weights(group, parameters)


def channel_sums(
    group: ChannelGroup, members: Iterable[Member], values: Mapping[str, Tensor]
) -> Tensor:
    """``values`` summed over each channel's part of the members: ``(channels,)``.

    ``values`` holds one tensor of the parameter's shape for each member's name. Every element
    counts once, also where one parameter has the group on two dims (a convolution from a residual
    stream into itself): there a channel owns a row and a column, which intersect.
    """
    by_parameter: dict[str, list[Member]] = {}
    for member in members:
        by_parameter.setdefault(member.parameter, []).append(member)
    sums = [_union_sum(values[name], own) for name, own in by_parameter.items()]
    return torch.stack(sums).sum(0) if sums else torch.zeros(group.channels)


def pair_sums(value: Tensor, first: Member, second: Member) -> Tensor:
    """``value`` summed over the intersection of each channel pair of two dims of one tensor.

    ``(channels of first, channels of second)``: the kernels between a layer's filters and its
    inputs, say.
    """
    rest = [dim for dim in range(value.ndim) if dim not in (first.dim, second.dim)]
    matrix = value.sum(rest) if rest else value
    matrix = matrix if first.dim < second.dim else matrix.T
    rows, columns = (torch.as_tensor(m.index, device=value.device) for m in (first, second))
    return matrix[rows[:, None, :, None], columns[None, :, None, :]].sum((2, 3))


def _union_sum(value: Tensor, members: Sequence[Member]) -> Tensor:
    """Inclusion and exclusion over the dims: rows + columns − their intersections."""
    members = sorted(members, key=lambda member: member.dim)
    sums = [
        _block_sum(value, block) * (-1) ** (size + 1)
        for size in range(1, len(members) + 1)
        for block in combinations(members, size)
    ]
    return torch.stack(sums).sum(0)


def _block_sum(value: Tensor, block: Sequence[Member]) -> Tensor:
    """The sum over the positions that a channel owns on every dim of the block at once."""
    dims = [member.dim for member in block]
    rest = [dim for dim in range(value.ndim) if dim not in dims]
    reduced = value.sum(rest) if rest else value
    shape = [1] * len(block)
    index = [
        torch.as_tensor(member.index, device=value.device).reshape(
            len(member.index), *shape[:axis], -1, *shape[axis + 1 :]
        )
        for axis, member in enumerate(block)
    ]
    return reduced[tuple(index)].flatten(1).sum(1)
