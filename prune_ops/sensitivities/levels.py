"""Widths from damages: every group is pruned as far as one common level allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup

AT_MOST = 8
"""Measured widths per group, the whole one included."""


def measured_widths(group: ChannelGroup) -> tuple[int, ...]:
    """The group's choices without the whole group; of more than `AT_MOST` an even subset."""
    last = len(group.choices) - 1
    indices = np.linspace(0, last, min(AT_MOST, last + 1)).round().astype(int)
    return tuple(group.choices[index] for index in indices[:-1])


def on_lattice(group: ChannelGroup, damages: Tensor) -> np.ndarray:
    """The damage at each of the group's choices, interpolated linearly from `measured_widths`.

    A width does at least the damage of any wider one, and the whole group does none.
    """
    measured = np.append(damages.double().numpy(), 0.0)
    monotone = np.maximum.accumulate(measured[::-1])[::-1]
    return np.interp(group.choices, (*measured_widths(group), group.channels), monotone)


def at_one_level(space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
    """Every group's smallest width up to one common damage, the least that meets the budget."""
    tables = [on_lattice(group, damages[group.name]) for group in space.groups]

    def widths(level: float) -> list[int]:
        indices = [int((table <= level).argmax()) for table in tables]
        return [g.choices[index] for g, index in zip(space.groups, indices, strict=True)]

    return first_within(space, np.unique(np.concatenate(tables)), widths, budget)


def first_within(
    space: Space,
    levels: np.ndarray,
    widths: Callable[[float], Sequence[int]],
    budget: Budget,
) -> Policy:
    """The policy of the first level that meets the budget, widened by what still fits.

    Args:
        levels: ascending; the higher, the narrower. The last one must meet the budget.
        widths: of all groups at a level.
    """
    limit = space.limit(budget)
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if space.flops(np.array(widths(levels[middle]))) <= limit:
            high = middle
        else:
            low = middle + 1
    return space.policy(space.project(np.array(widths(levels[low])), budget))
