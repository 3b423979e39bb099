"""Widths from what groups bear: all are cut as far as one common level allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from prune_ops.importances.cuts import some_widths
from spaces import Budget, Policy, Space
from spaces.groups import ChannelGroup


def on_lattice(group: ChannelGroup, damages: Tensor) -> np.ndarray:
    """The damage at each of the group's choices, from that at `some_widths`, made monotone.

    A width does at least the damage of any wider one, and the whole group does none. Between two
    widths that were measured it lies on the straight line.

    >>> on_lattice(group, tensor([0.5, -0.1, 0.2]))  # of 4 channels: 1, 2, 3 and all
    array([0.5, 0.2, 0.2, 0. ])
    """
    measured = np.append(damages.double().numpy(), 0.0)
    rising = np.maximum.accumulate(measured[::-1])[::-1]
    return np.interp(group.choices, (*some_widths(group), group.channels), rising)


def at_one_level(space: Space, damages: Mapping[str, Tensor], budget: Budget) -> Policy:
    """Every group at its smallest width that does at most one damage, the least that will do."""
    tables = [on_lattice(group, damages[group.name]) for group in space.groups]

    def widths(level: float) -> list[int]:
        borne = [int((table <= level).argmax()) for table in tables]
        return [g.choices[place] for g, place in zip(space.groups, borne, strict=True)]

    return first_within(space, np.unique(np.concatenate(tables)), widths, budget)


def first_within(
    space: Space,
    levels: np.ndarray,
    widths: Callable[[float], Sequence[int]],
    budget: Budget,
) -> Policy:
    """The policy of the first level that meets the budget, and what still fits added to it.

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
