"""Costs of widths, and limits: the most that a policy may take of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from spaces.cost import Polynomial


class WidthCost(Protocol):
    """What widths cost, in whole numbers of some unit; no wider group ever costs less.

    A `spaces.cost.Polynomial` is one.
    """

    def __call__(self, widths: np.ndarray) -> np.ndarray:
        """int64 values: ``(N,)`` for ``(N, G)``, 0-dim for ``(G,)``."""
        ...

    def stepped(self, widths: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values ``(G,)`` after one group alone takes its step."""
        ...

    def near(self, widths: np.ndarray) -> Polynomial:
        """A polynomial that has the same value at these widths ``(G,)``, and about the same near
        them: what `spaces.joint` solves with."""
        ...


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of one cost, which the smallest widths must keep."""

    cost: WidthCost
    most: int


def met(limits: Iterable[Limit], widths: np.ndarray) -> np.ndarray:
    """Whether widths ``(G,)``, or each of ``(N, G)``, keep all limits."""
    kept = [limit.cost(widths) <= limit.most for limit in limits]
    return np.logical_and.reduce(kept)
