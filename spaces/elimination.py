"""Elimination: the best widths of all groups at a given price of a flop, exactly.

Two groups depend on each other where the cost has a product of their widths: where some layer reads
the one and makes the other. One group after another is eliminated: a table says, for all widths of
its neighbours, what its own best width comes to, and joins these neighbours from then on. That is
cheap where each has few neighbours, as in chains and residual networks.

Definition: Bertelè and Brioschi, Nonserial Dynamic Programming, 1972.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np

from spaces.cost import Polynomial

LARGEST = 2**22
"""Entries of a table; a network that needs a larger one is not solved by elimination."""

Step = tuple[int, tuple[int, ...]]
"""A group to eliminate, and its neighbours then."""


@dataclass(frozen=True, slots=True)
class Elimination:
    """The order in which the groups of a network are eliminated, and what they cost.

    Attributes:
        own: ``(choices,)`` of each group: the flops that its width alone determines.
        products: as of the polynomial.
    """

    steps: tuple[Step, ...]
    choices: tuple[np.ndarray, ...]
    own: tuple[np.ndarray, ...]
    products: np.ndarray

    @classmethod
    def of(cls, choices: Sequence[np.ndarray], flops: Polynomial) -> Self | None:
        """None where it would take too large a table."""
        square, products = flops.square.diagonal(), flops.products
        steps = _steps([len(own) for own in choices], products)
        if steps is None:
            return None
        own = (a * w + b * w**2 for w, a, b in zip(choices, flops.linear, square, strict=True))
        return cls(steps, tuple(choices), tuple(own), products)

    def tables(self, terms: Sequence[np.ndarray], price: float) -> Tables:
        """What the groups come to when a flop costs ``price``."""
        waiting: list[list[tuple[tuple[int, ...], np.ndarray]]] = [[] for _ in self.choices]
        turn = {group: place for place, (group, _) in enumerate(self.steps)}
        tables, total = [], 0.0
        for group, near in self.steps:
            axes = group, *near
            parts = [((group,), terms[group] + price * self.own[group]), *waiting[group]]
            for other in near:
                if factor := price * self.products[group, other]:
                    product = factor * np.outer(self.choices[group], self.choices[other])
                    parts.append(((group, other), product))
            table = np.zeros([len(self.choices[axis]) for axis in axes])
            for named, part in parts:
                table += _spread(part, named, axes)
            tables.append(table)
            if near:
                waiting[min(near, key=turn.__getitem__)].append((near, table.min(0)))
            else:
                total += float(table.min())
        return Tables(self.steps, tuple(tables), total)


@dataclass(frozen=True, slots=True)
class Tables:
    """What the groups come to at one price: a table ``(own choices, neighbours' …)`` a step.

    Attributes:
        total: the least sum of all terms and of the price of all flops but the constant ones.
    """

    steps: tuple[Step, ...]
    tables: tuple[np.ndarray, ...]
    total: float

    def places(self) -> list[int]:
        """The best widths, as places among the choices, by group."""
        chosen: dict[int, int] = {}
        while len(chosen) < len(self.steps):
            group, regrets = self.next(chosen)
            chosen[group] = int(regrets.argmin())
        return [chosen[group] for group in range(len(chosen))]

    def next(self, chosen: dict[int, int]) -> tuple[int, np.ndarray]:
        """The group that is next, and what each of its widths adds to the least total, given those
        chosen so far in this order."""
        place = len(self.steps) - 1 - len(chosen)
        group, near = self.steps[place]
        column = np.moveaxis(self.tables[place], 0, -1)[tuple(chosen[other] for other in near)]
        return group, column - column.min()


def _steps(sizes: Sequence[int], products: np.ndarray) -> tuple[Step, ...] | None:
    """The group of the smallest table first."""
    near = {group: {*np.flatnonzero(row).tolist()} for group, row in enumerate(products)}
    steps = []
    while near:
        entries = {g: sizes[g] * prod(sizes[other] for other in own) for g, own in near.items()}
        group = min(entries, key=entries.__getitem__)
        if entries[group] > LARGEST:
            return None
        own = near.pop(group)
        for other in own:
            near[other] = (near[other] | own) - {group, other}
        steps.append((group, tuple(sorted(own))))
    return tuple(steps)


def _spread(part: np.ndarray, named: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """``part``, whose axes are those groups, so that it broadcasts over ``axes``."""
    order = sorted(range(len(named)), key=lambda k: axes.index(named[k]))
    sizes = dict(zip(named, part.shape, strict=True))
    return part.transpose(order).reshape([sizes.get(axis, 1) for axis in axes])
