"""Which parts of a group are taken away, and how a network is judged after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spaces.groups import ChannelGroup

AT_MOST = 8
"""Widths of a group that are measured, the whole one among them; of more, as many spread evenly."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a network does on images: its mean cross-entropy, and its accuracy 0..1."""

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Cut:
    """One group cut alone: its name, and the ascending channels that stay."""

    group: str
    kept: tuple[int, ...]


def some_widths(group: ChannelGroup) -> tuple[int, ...]:
    """The group's choices but for the whole group; of more than `AT_MOST` some, ends included.

    >>> some_widths(group)  # of 128 channels, in steps of 8
    (8, 24, 40, 56, 80, 96, 112)
    """
    last = len(group.choices) - 1
    places = np.linspace(0, last, min(AT_MOST, last + 1)).round().astype(int)
    return tuple(group.choices[place] for place in places[:-1])


def best(group: ChannelGroup, ranking: np.ndarray, width: int) -> Cut:
    """The group with the first ``width`` channels of the ranking."""
    return Cut(group.name, tuple(sorted(ranking[:width].tolist())))
