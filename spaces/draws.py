"""Draws: widths, and channels, for all groups at once, at which the self-check tries a space."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from spaces.groups import ChannelGroup


@dataclass(frozen=True, slots=True)
class Draw:
    """A way to draw a width for every group.

    Attributes:
        width: of a group and a generator.
        kept: which channels stay, of so many and to that width.
        trained: whether a training step of the cut is tried too.
        compared: whether its outputs are checked as well.
    """

    name: str
    width: Callable[[ChannelGroup, np.random.Generator], int]
    kept: Callable[[int, int, np.random.Generator], np.ndarray]
    trained: bool = False
    compared: bool = False

    def selected(self, group: ChannelGroup) -> np.ndarray:
        """Which channels stay: the same for the same group, whoever else is cut."""
        rng = np.random.default_rng(zlib.crc32(f"{self.name} {group.name}".encode()))
        return self.kept(group.channels, int(self.width(group, rng)), rng)

    def at(self, width: int) -> Draw:
        """The same with that width for every group."""
        return replace(self, width=lambda *_: width)


def _scattered(channels: int, width: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.permutation(channels)[:width])


def _shifted(channels: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Without the first, nor the last if that can be: so nothing that is kept stays in its place,
    counted from either end, and every literal slice is seen."""
    inner = rng.permutation(np.arange(1, channels - 1))
    return np.sort([*inner, channels - 1, 0][:width])


LESS = Draw(
    "less", lambda g, rng: rng.choice(g.choices[:-1]), _shifted, trained=True, compared=True
)
LEAST = Draw("least", lambda g, _: g.choices[0], _scattered, trained=True)
ALL_LEAST = replace(LEAST, trained=False)


def draws(groups: Sequence[ChannelGroup], more: int, sizes: Collection[int] = ()) -> list[Draw]:
    """The draws that prove these groups.

    Beside random widths and the least ones, every group is whole while a neighbour of it is at its
    least, and the other way round: where two must keep step, no luck hides it. Neighbours have a
    parameter in common; colours, no two neighbours alike, say in their bits who is least when. And
    all that can have the size of something else in the network have it: code that asks whether two
    sizes are equal (may I add the shortcut?) gets another answer then.

    Args:
        more: draws of random widths, and of common sizes.
        sizes: that something in the network has; two groups may come to have one in common, too.
    """
    colours = coloured(groups)
    below = Counter(width for group in groups for width in group.choices[:-1])
    shared = sorted(width for width, count in below.items() if count > 1 and width not in sizes)
    common = [*sorted({*sizes} & below.keys())[:more], *shared[: math.ceil(more / 4)]]
    bits = range(max(colours.values(), default=0).bit_length())
    return [
        LESS,
        *(Draw(f"bit {bit}", partial(_by_bit, colours, bit), _scattered) for bit in bits),
        *(Draw(f"size {size}", partial(_of_size, size), _scattered) for size in common),
        *(Draw(f"any {n}", lambda g, rng: rng.choice(g.choices), _scattered) for n in range(more)),
        LEAST,
    ]


def _by_bit(colours: dict[str, int], bit: int, group: ChannelGroup, _: np.random.Generator) -> int:
    return group.choices[0 if colours[group.name] >> bit & 1 else -1]


def _of_size(size: int, group: ChannelGroup, _: np.random.Generator) -> int:
    return size if size in group.choices else group.choices[-1]


def coloured(groups: Sequence[ChannelGroup]) -> dict[str, int]:
    """Name → the least number that no neighbour before it has."""
    colours: dict[str, int] = {}
    at: dict[str, set[int]] = {}  # parameter → colours of the groups that have it
    for group in groups:
        own = [at.setdefault(m.parameter, set()) for m in group.members]
        taken = set[int]().union(*own)
        colours[group.name] = next(c for c in range(len(groups)) if c not in taken)
        for there in own:
            there.add(colours[group.name])
    return colours
