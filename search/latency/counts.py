"""The channels that a layer reads and makes, as counts that are linear in the widths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from spaces import Space, module_of
from spaces.slicing import named_tensors


@dataclass(frozen=True)
class Count:
    """``offset``, and for each channel of a group that stays so many more."""

    offset: int
    groups: dict[str, int]

    def __hash__(self) -> int:
        return hash((self.offset, *sorted(self.groups.items())))

    def of(self, space: Space, widths: np.ndarray) -> np.ndarray:
        """``(N,)`` for widths ``(N, G)``."""
        return np.asarray(widths) @ self.row(space) + self.offset

    def row(self, space: Space) -> np.ndarray:
        """How many more for each channel of each group, ``(G,)``."""
        return np.array([self.groups.get(group.name, 0) for group in space.groups])


NOTHING = Count(0, {})
"""Where no channel that can be cut is read or made."""


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """What one module reads and makes."""

    reads: Count = NOTHING
    makes: Count = NOTHING


def layer_counts(model: nn.Module, space: Space) -> dict[str, LayerCounts]:
    """Of every module with channels that can be cut, by its name.

    A module without inputs that can be cut, a depthwise convolution say, reads a fixed number; one
    that is of one number of channels, a normalisation, reads what it makes.
    """
    sizes = {name: tensor.shape for name, tensor in named_tensors(model).items()}
    places: dict[tuple[str, str], dict[tuple[str, int], Count]] = {}
    for group in space.groups:
        for member in group.members:
            kind = member.kind if member.kind in ("in", "out") else "own"
            own = places.setdefault((module_of(member.parameter), kind), {})
            place = member.parameter, member.dim
            before = own.get(place) or Count(sizes[member.parameter][member.dim], {})
            more = {group.name: before.groups.get(group.name, 0) + member.index.shape[1]}
            own[place] = Count(before.offset - member.index.size, before.groups | more)

    def first(module: str, *kinds: str) -> Count:
        found = (places[module, kind] for kind in kinds if (module, kind) in places)
        return next((count for each in found for count in each.values()), NOTHING)

    modules = dict.fromkeys(module for module, _ in places)
    return {
        module: LayerCounts(first(module, "in", "own"), first(module, "out", "own"))
        for module in modules
    }
