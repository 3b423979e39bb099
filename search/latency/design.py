"""Which networks are timed: so few that every layer has been seen with all pairs of its levels.

Of each group's widths a few are levels. In an orthogonal array of strength 2 every pair of columns
has every pair of levels in just one row: so of groups that some layer reads and makes, and that
have different columns, all pairs of levels are in ``LEVELS ** 2`` networks.

Definition: Rao, Factorial experiments derivable from combinatorial arrangements of arrays, 1947.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from search.latency.counts import Count
from spaces import Space

LEVELS, FEW = 5, 3
"""Widths of each group that are timed, both prime; few where networks are large."""
LARGE = 50_000_000
"""Parameters of such a network."""


def designed(space: Space, pairs: Iterable[tuple[Count, Count]]) -> np.ndarray:
    """The widths of the networks to time, ``(N, G)``.

    Args:
        pairs: the counts that meet in some layer.
    """
    levels = FEW if space.full_params > LARGE else LEVELS
    columns = _columns(space, pairs, levels + 1)
    first, second = (side.ravel() for side in np.indices((levels, levels)))
    array = [(first + k * second) % levels for k in range(levels)]
    array.append(second)
    widths = []
    for group, column in zip(space.groups, columns, strict=True):
        places = np.linspace(0, len(group.choices) - 1, levels).round().astype(int)
        widths.append(np.array(group.choices)[places][array[column]])
    return np.unique(np.stack(widths, 1), axis=0)


def drawn(space: Space, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random networks of all sizes, ``(count, G)``: shares of a common one, each group's own."""
    widths = []
    for _ in range(count):
        share = rng.uniform(0.1, 1.0) * rng.lognormal(0.0, 0.3, len(space.groups))
        widths.append(space.lattice.floor(np.minimum(share, 1.0) * space.lattice.top))
    return np.array(widths).astype(np.int64)


def _columns(space: Space, pairs: Iterable[tuple[Count, Count]], most: int) -> list[int]:
    """A column for each group: another one than those of the groups that it meets, where so many
    are enough, else the rarest among them."""
    near: dict[str, set[str]] = {group.name: set() for group in space.groups}
    for one, other in pairs:
        for name in one.groups:
            near[name] |= {*other.groups} - {name}
        for name in other.groups:
            near[name] |= {*one.groups} - {name}
    chosen: dict[str, int] = {}
    for name in sorted(near, key=lambda name: -len(near[name])):
        taken = [chosen[other] for other in near[name] if other in chosen]
        chosen[name] = min(range(most), key=taken.count)
    return [chosen[group.name] for group in space.groups]
