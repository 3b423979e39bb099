"""The record of what can be chosen: every group's widths and the exact cost, without the network.

>>> run.space.as_space().flops(run.best.policy) == run.best.flops
True
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from results.codec import Stored
from results.latency import NO_TABLES, LatencyRecord
from spaces.budget import LATENCY, MEMORY
from spaces.cost import Peak, Polynomial
from spaces.limits import WidthCost
from spaces.widths import WidthGroup, WidthSpace


@dataclass(frozen=True, slots=True)
class Coefficients:
    """A `spaces.cost.Polynomial` of G widths, in integers.

    Attributes:
        constant: what does not depend on widths.
        linear: G of them.
        square: ``(row, column, coefficient)`` of every product of two widths that costs something.
    """

    constant: int = 0
    linear: tuple[int, ...] = ()
    square: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, polynomial: Polynomial) -> Self:
        """Those of a polynomial, whose coefficients are integers."""
        places = np.argwhere(polynomial.square).tolist()
        return cls(
            int(polynomial.constant),
            tuple(map(int, polynomial.linear)),
            tuple((row, column, int(polynomial.square[row, column])) for row, column in places),
        )

    def polynomial(self) -> Polynomial:
        """The polynomial that they are of."""
        count = len(self.linear)
        square = np.zeros((count, count))
        for row, column, coefficient in self.square:
            square[row, column] = coefficient
        return Polynomial(float(self.constant), np.array(self.linear, dtype=float), square)


@dataclass(frozen=True, slots=True)
class SpaceRecord(Stored):
    """Which widths a search may choose, and what they cost; empty in runs of older versions.

    Attributes:
        groups: each with its widths, ascending, in the order of the network.
        flops: multiply-adds at batch 1.
        params: parameters.
        limits: what every policy keeps besides its budget.
        latency: the tables of what forward passes take, where that is limited.
        memory: bytes of activations at each moment that may be the worst, where they are limited.
    """

    groups: tuple[WidthGroup, ...] = ()
    flops: Coefficients = Coefficients()
    params: Coefficients = Coefficients()
    limits: tuple[str, ...] = ()
    latency: LatencyRecord = NO_TABLES
    memory: tuple[Coefficients, ...] = ()

    @classmethod
    def of(cls, space: WidthSpace, latency: LatencyRecord = NO_TABLES) -> Self:
        """That of a space."""
        return cls(
            tuple(WidthGroup(g.name, tuple(g.choices)) for g in space.groups),
            Coefficients.of(space.flops_of),
            Coefficients.of(space.params_of),
            tuple(map(str, space.limits)),
            latency,
            _moments(space),
        )

    def as_space(self) -> WidthSpace:
        """The space again, as far as it needs no network: costs, budgets, projection, solving."""
        others: dict[str, WidthCost] = {}
        if self.latency:
            others[LATENCY] = self.latency.cost(self.groups)
        if self.memory:
            others[MEMORY] = Peak([moment.polynomial() for moment in self.memory])
        costs = self.flops.polynomial(), self.params.polynomial()
        return WidthSpace(self.groups, *costs, others=others).limited(self.limits)


def _moments(space: WidthSpace) -> tuple[Coefficients, ...]:
    peak = space.others.get(MEMORY)
    return tuple(map(Coefficients.of, peak.parts)) if isinstance(peak, Peak) else ()
