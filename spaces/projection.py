"""The lattice of widths, and the projection of any proposal onto those that keep all limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spaces.limits import Limit, met


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


def project(widths: np.ndarray, limits: Sequence[Limit], lattice: Lattice) -> np.ndarray:
    """The lattice widths nearest to a multiple of ``widths`` that spend the limits.

    Scales the proposal by the largest scalar whose lattice floor keeps all limits, then takes
    single steps, the group furthest behind its scaled proposal first, until no step of any group
    fits. A proposal that keeps the limits already is only added to.

    Args:
        widths: proposal, positive, shape ``(G,)``; it need not lie on the lattice.
        limits: the lattice's smallest policy must keep them.

    Returns:
        int64 widths of shape ``(G,)``: never over a limit, and no single step up stays within all.
    """
    proposal = np.clip(np.asarray(widths, dtype=np.float64), 1e-9, lattice.top)
    scale = _largest_scale(proposal, limits, lattice)
    return _fill(proposal * scale, limits, lattice).astype(np.int64)


def _largest_scale(p: np.ndarray, limits: Sequence[Limit], lattice: Lattice) -> float:
    """Bisection on the scalar, 32 points at a time: numpy's price is the call, not the row."""
    low, high = 0.0, float((lattice.top / p).max())
    if met(limits, lattice.floor(p)):
        low = 1.0
    for _ in range(3):
        scales = np.linspace(low, high, 33)
        fits = met(limits, lattice.floor(scales[:, None] * p))
        if fits.all():
            return high
        last = int(fits.argmin()) - 1
        low, high = scales[max(last, 0)], scales[last + 1]
    return low


def _fill(target: np.ndarray, limits: Sequence[Limit], lattice: Lattice) -> np.ndarray:
    """Single steps up from the floor of ``target`` while any fits."""
    widths = lattice.floor(target)
    while True:
        steps = lattice.step_up(widths)
        fits = steps > 0
        for limit in limits:
            fits &= limit.cost.stepped(widths, steps) <= limit.most
        if not fits.any():
            return widths
        behind = np.where(fits, (target - widths) / np.maximum(steps, 1), -np.inf)
        g = int(behind.argmax())
        widths[g] += steps[g]
