"""What a forward pass takes: a sum of tables of times over numbers of channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import nnls

from spaces.cost import Polynomial


@dataclass(frozen=True)
class TableSum:
    """The sum of T tables, each over two counts of channels, and of a constant, in ns.

    A count is linear in the widths: what a layer reads, or what it makes. Between the nodes of a
    table its entries are interpolated linearly along both counts, beyond them they go on as at the
    edge. Entries do not fall along either count, so no wider group costs less. Each table's value
    is rounded to a whole number, so that the sum does not depend on its order.

    Attributes:
        constant: ns.
        offsets, counts: of both counts of each table, ``(T, 2)`` and ``(T, 2, G)``, whole numbers.
        nodes: ``(T, 2, K)``, strictly ascending.
        times: ``(T, K, K)``, by node of the first count and of the second.
    """

    constant: int
    offsets: np.ndarray
    counts: np.ndarray
    nodes: np.ndarray
    times: np.ndarray

    def __call__(self, widths: np.ndarray) -> np.ndarray:
        """ns, int64: ``(N,)`` for ``(N, G)``, 0-dim for ``(G,)``."""
        w = np.asarray(widths, dtype=np.float64)
        tables = np.arange(len(self.times))
        (row, down), (column, right) = (self._places(w, side) for side in (0, 1))
        total = np.zeros((*w.shape[:-1], len(tables)))
        for below, share in ((0, 1.0 - down), (1, down)):
            for beside, other in ((0, 1.0 - right), (1, right)):
                total += share * other * self.times[tables, row + below, column + beside]
        return np.asarray(self.constant + np.rint(total).sum(-1)).astype(np.int64)

    def stepped(self, widths: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values after one group alone takes its step, shape ``(G,)``."""
        return self(np.asarray(widths, dtype=np.float64) + np.diag(steps))

    def near(self, widths: np.ndarray) -> Polynomial:
        """The tables fitted by bilinear forms, scaled to the value at these widths."""
        return self._fitted * float(self(widths) / max(self._fitted(widths), 1))

    def _places(self, widths: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Of one count of each table the node before it, and the share of the way to the next."""
        nodes = self.nodes[:, side]
        count = widths @ self.counts[:, side].T + self.offsets[:, side]
        count = np.clip(count, nodes[:, 0], nodes[:, -1])
        place = (count[..., None] >= nodes[:, 1:-1]).sum(-1)
        tables = np.arange(len(nodes))
        low, high = nodes[tables, place], nodes[tables, place + 1]
        return place, (count - low) / (high - low)

    @cached_property
    def _fitted(self) -> Polynomial:
        """Each table as ``a + b·x + c·y + d·x·y`` of its counts, no coefficient negative."""
        groups = self.counts.shape[-1]
        constant, linear = float(self.constant), np.zeros(groups)
        square = np.zeros((groups, groups))
        for offset, count, nodes, times in zip(
            self.offsets, self.counts, self.nodes, self.times, strict=True
        ):
            x, y = (each.ravel() for each in np.meshgrid(*nodes, indexing="ij"))
            (a, b, c, d), _ = nnls(np.stack([np.ones_like(x), x, y, x * y], 1), times.ravel())
            (p, q), (u, v) = offset, count
            constant += a + b * p + c * q + d * p * q
            linear += b * u + c * v + d * (p * v + q * u)
            square += d * np.outer(u, v)
        return Polynomial(constant, linear, square)


def rising(times: np.ndarray) -> np.ndarray:
    """The same table where it rises along both counts; elsewhere the middle between the least
    rising one above it and the greatest below it. Shape ``(..., K, K)``."""
    above, below = times, times
    for axis in (-2, -1):
        above = np.maximum.accumulate(above, axis)
        below = np.flip(np.minimum.accumulate(np.flip(below, axis), axis), axis)
    return np.asarray((above + below) / 2)
