"""The problem that `spaces.solve` solves: one term for every width of every group, and a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spaces.cost import Polynomial

Places = Sequence[int]
"""Of each group's width among its choices."""


@dataclass(frozen=True, slots=True)
class Problem:
    """To minimise the sum of ``terms[g][k]`` where group ``g`` has the width ``choices[g][k]``.

    Attributes:
        terms: ``(choices,)`` of each group, finite, of any sign.
        choices: the widths of each group, float64, ascending.
        limit: the most flops; the least widths must meet it.
    """

    terms: Sequence[np.ndarray]
    choices: Sequence[np.ndarray]
    flops: Polynomial
    limit: float

    def widths(self, places: Places) -> np.ndarray:
        """``(G,)``."""
        return np.array([own[k] for own, k in zip(self.choices, places, strict=True)])

    def cost(self, places: Places) -> float:
        """The flops."""
        return float(self.flops(self.widths(places)))

    def total(self, places: Places) -> float:
        """The sum of the terms."""
        return float(sum(own[k] for own, k in zip(self.terms, places, strict=True)))
