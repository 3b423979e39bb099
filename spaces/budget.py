"""Budget, and the projection of any proposal onto the widths that meet it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spaces.errors import BudgetError

if TYPE_CHECKING:
    from spaces.cost import Polynomial

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_HINT = "a fraction in (0, 1] or absolute flops such as 60M"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most flops that a policy may keep.

    >>> Budget.parse("0.5").limit(1_000_001), Budget.parse("60M").limit(1_000_000_000)
    (500000, 60000000)

    Attributes:
        amount: the fraction of the unpruned network, or the flops.
        absolute: whether ``amount`` is flops.
    """

    amount: float
    absolute: bool = False

    @classmethod
    def parse(cls, value: Budget | float | str) -> Budget:
        """A budget from what a user writes.

        Raises:
            BudgetError: not a number, not positive, or a fraction above 1.
        """
        if isinstance(value, Budget):
            return value
        found = re.fullmatch(r"\s*([+-]?[\d.]+(?:e[+-]?\d+)?)\s*([KMGT]?)\s*", str(value), re.I)
        try:
            number, unit = float(found[1]), found[2].upper()  # type: ignore[index]
        except (TypeError, ValueError):
            number, unit = math.nan, ""
        if not 0 < number < math.inf or (not unit and number > 1):
            raise BudgetError(f"budget must be {_HINT}, but got {value!r}")
        return cls(number * _UNITS[unit], absolute=bool(unit))

    def limit(self, full_flops: int) -> int:
        """The most flops, given those of the unpruned network."""
        return math.floor(self.amount if self.absolute else self.amount * full_flops)

    def __str__(self) -> str:
        if not self.absolute:
            return f"{self.amount:g}"
        unit = next((u for u in "TGMK" if self.amount >= _UNITS[u]), "")
        return f"{self.amount / _UNITS[unit]:g}{unit}"


@dataclass(frozen=True, slots=True)
class Lattice:
    """The widths of all groups: from ``low`` in steps, ``last`` the widest below ``top``, and that.

    All ``(G,)`` float64.
    """

    low: np.ndarray
    step: np.ndarray
    last: np.ndarray
    top: np.ndarray

    @classmethod
    def of(cls, choices: Sequence[Sequence[int]]) -> Lattice:
        """From the widths of each group, ascending, evenly spaced but for the last."""
        low, last, top = (
            np.array([each[place] for each in choices], dtype=np.float64) for place in (0, -2, -1)
        )
        step = np.array([each[1] - each[0] if len(each) > 2 else 1 for each in choices], float)
        return cls(low, step, last, top)

    def floor(self, widths: np.ndarray) -> np.ndarray:
        """The nearest lattice widths not above ``(..., G)`` real ones, at least the lowest."""
        steps = np.maximum(np.floor((widths - self.low) / self.step), 0.0)
        down = np.minimum(self.low + steps * self.step, self.last)
        return np.where(widths >= self.top, self.top, down)

    def step_up(self, widths: np.ndarray) -> np.ndarray:
        """What the next width adds, 0 at the top."""
        return np.where(widths < self.last, self.step, self.top - widths)


def project(widths: np.ndarray, limit: int, flops: Polynomial, lattice: Lattice) -> np.ndarray:
    """The lattice widths nearest to a multiple of ``widths`` that spend the limit.

    Scales the proposal by the largest scalar whose lattice floor meets the limit, then takes single
    steps, the group furthest behind its scaled proposal first, until no step of any group fits. A
    proposal that meets the limit already is only added to.

    Args:
        widths: proposal, positive, shape ``(G,)``; it need not lie on the lattice.
        limit: the most flops; the lattice's smallest policy must meet it.

    Returns:
        int64 widths of shape ``(G,)``: never over the limit, and no single step up stays within it.
    """
    proposal = np.clip(np.asarray(widths, dtype=np.float64), 1e-9, lattice.top)
    scale = _largest_scale(proposal, limit, flops, lattice)
    return _fill(proposal * scale, limit, flops, lattice).astype(np.int64)


def _largest_scale(p: np.ndarray, limit: int, flops: Polynomial, lattice: Lattice) -> float:
    """Bisection on the scalar, 32 points at a time: numpy's price is the call, not the row."""
    low, high = 0.0, float((lattice.top / p).max())
    if flops(lattice.floor(p)) <= limit:
        low = 1.0
    for _ in range(3):
        scales = np.linspace(low, high, 33)
        met = flops(lattice.floor(scales[:, None] * p)) <= limit
        if met.all():
            return high
        last = int(met.argmin()) - 1
        low, high = scales[max(last, 0)], scales[last + 1]
    return low


def _fill(target: np.ndarray, limit: int, flops: Polynomial, lattice: Lattice) -> np.ndarray:
    """Single steps up from the floor of ``target`` while any fits."""
    widths = lattice.floor(target)
    slack = limit - int(flops(widths))
    while True:
        steps = lattice.step_up(widths)
        added = flops.increase(widths, steps)
        fits = (steps > 0) & (added <= slack)
        if not fits.any():
            return widths
        behind = np.where(fits, (target - widths) / np.maximum(steps, 1), -np.inf)
        g = int(behind.argmax())
        widths[g] += steps[g]
        slack -= int(added[g])
