"""Norms of filters that leave out the kernels whose input channels are pruned already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prune_ops.channels import channel_sums, filters, pair_sums, weights
from spaces.groups import ChannelGroup, Member


@dataclass(frozen=True, eq=False)
class GreedyScores(Mapping[str, Tensor]):
    """Scores that depend on what is kept of the groups before; so ``select`` asks ``given``.

    >>> scores = prune_ops.score(model, space, (), ["l1_greedy"])["l1_greedy"]  # doctest: +SKIP
    >>> scores["conv2"]                                     # as a mapping: nothing is pruned yet
    >>> scores.given("conv2", {"conv1": np.arange(8)})      # of the kernels that are left

    It holds one number for every pair of channels with kernels between them, 4 bytes each.

    Attributes:
        independent: group name → ``(channels,)``: the norms that count all kernels.
        rest: group name → ``(channels,)``: the share of kernels that no earlier group feeds.
        between: group name → earlier group's name → ``(channels, channels there)``: the share of
            the kernels between them. Shares of one channel add up to its norm, or the square of it.
    """

    independent: Mapping[str, Tensor]
    rest: Mapping[str, Tensor]
    between: Mapping[str, Mapping[str, Tensor]]

    def __getitem__(self, name: str) -> Tensor:
        return self.independent[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.independent)

    def __len__(self) -> int:
        return len(self.independent)

    def having(self, independent: Mapping[str, Tensor]) -> GreedyScores:
        """The same with other ``independent`` norms: shares of their mean, say."""
        return replace(self, independent=independent)

    def given(self, name: str, kept: Mapping[str, np.ndarray]) -> Tensor:
        """``(channels,)``: what ranks a group's channels once earlier groups keep only these.

        Groups that are not named in ``kept`` are whole. Sums of squares stay without their root
        here, which changes no order.
        """
        left = [
            m[:, kept.get(other, slice(None))].sum(1) for other, m in self.between[name].items()
        ]
        return torch.stack([self.rest[name], *left]).sum(0)


# Scores are kept in files that are read with weights_only=True.
torch.serialization.add_safe_globals([GreedyScores])


def greedy(
    groups: Sequence[ChannelGroup], parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]
) -> GreedyScores:
    """``values``, one for every weight, summed over the filters of each channel, in its shares.

    Args:
        groups: in the network's order.
        values: parameter name → the parameter's shape: \\|w\\| or w².
    """
    read: dict[int, list[tuple[str, Member]]] = {}
    independent, rest, between = {}, {}, {}
    for group in groups:
        members = filters(group, parameters)
        independent[group.name] = channel_sums(group, members, values)
        rest[group.name], between[group.name] = _shares(group, members, parameters, values, read)
        for member in weights(group, parameters, {"in"}):
            read.setdefault(id(parameters[member.parameter]), []).append((group.name, member))
    return GreedyScores(independent, rest, between)


def _shares(
    group: ChannelGroup,
    members: Sequence[Member],
    parameters: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    read: Mapping[int, Sequence[tuple[str, Member]]],
) -> tuple[Tensor, dict[str, Tensor]]:
    """One group's ``rest`` and ``between``, on the CPU."""
    alone = {m.parameter: values[m.parameter].clone() for m in members}
    between: dict[str, Tensor] = {}
    for member in members:
        if member.kind != "out":
            continue
        value = alone[member.parameter]
        for other, source in read.get(id(parameters[member.parameter]), ()):
            shared = pair_sums(values[member.parameter], member, source).float().cpu()
            between[other] = between[other] + shared if other in between else shared
            value.index_fill_(source.dim, torch.as_tensor(source.index.ravel()).to(value.device), 0)
    return channel_sums(group, members, alone).float().cpu(), between
