"""Norms of filters without the kernels whose input channels are already pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prune_ops.channels import channel_sums, filters, pair_sums, weights
from spaces.groups import ChannelGroup, Member


@dataclass(frozen=True, eq=False)
class GreedyScores(Mapping[str, Tensor]):
    """Scores that depend on the channels kept in earlier groups; ``select`` calls ``given``.

    >>> scores["conv2"]                                     # as a mapping: nothing is pruned yet
    >>> scores.given("conv2", {"conv1": np.arange(8)})      # without pruned inputs' kernels

    It holds 4 bytes for every pair of channels with kernels between them.

    Attributes:
        independent: group name → ``(channels,)``: the norms over all kernels.
        rest: group name → ``(channels,)``: the part of kernels that no earlier group feeds.
        between: group name → earlier group's name → ``(channels, channels there)``: the part of
            the kernels between them. A channel's parts add up to its norm, or to the squared norm.
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

    def given(self, name: str, kept: Mapping[str, np.ndarray]) -> Tensor:
        """``(channels,)``: the ranking scores once earlier groups keep only these channels.

        Groups not in ``kept`` are whole. Squared norms stay without root, in the same order.
        """
        parts = [
            m[:, kept.get(earlier, slice(None))].sum(1) for earlier, m in self.between[name].items()
        ]
        return torch.stack([self.rest[name], *parts]).sum(0)


# Score files are read with weights_only=True.
torch.serialization.add_safe_globals([GreedyScores])


def greedy(
    groups: Sequence[ChannelGroup], parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]
) -> GreedyScores:
    """\\|w\\| or w² (``values``) summed over each channel's filters, by the groups that they read.

    ``groups`` are in network order.
    """
    read: dict[int, list[tuple[str, Member]]] = {}
    independent, rest, between = {}, {}, {}
    for group in groups:
        members = filters(group, parameters)
        unfed = {m.parameter: values[m.parameter].clone() for m in members}
        fed: dict[str, Tensor] = {}
        for member in (m for m in members if m.kind == "out"):
            value = unfed[member.parameter]
            for earlier, source in read.get(id(parameters[member.parameter]), ()):
                part = pair_sums(values[member.parameter], member, source).float().cpu()
                fed[earlier] = fed[earlier] + part if earlier in fed else part
                index = torch.as_tensor(source.index.ravel()).to(value.device)
                value.index_fill_(source.dim, index, 0)
        independent[group.name] = channel_sums(group, members, values)
        rest[group.name] = channel_sums(group, members, unfed).float().cpu()
        between[group.name] = fed
        for member in weights(group, parameters, {"in"}):
            read.setdefault(id(parameters[member.parameter]), []).append((group.name, member))
    return GreedyScores(independent, rest, between)
