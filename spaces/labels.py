"""Integer labels for channels: which are the same channel (union-find), which must stay and why.

A label is a positive integer; every element of every activation carries the label of the channel
that it belongs to. Two labels that are tied belong to channels that can be removed only together.
``NEUTRAL`` marks elements that belong to no channel, a mean over all channels for example.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

NEUTRAL = 0

Place = tuple[str, int]
"""One dim of one parameter or buffer."""

Kind = Literal["out", "in", "norm", "scale"]
"""What the channels at a place are to its layer; see ``spaces.groups.Member``."""


class Labels:
    """A union-find over labels in which some labels are fixed: what meets them is frozen.

    >>> labels = Labels()
    >>> a, b = labels.fresh(2), labels.fresh(2)
    >>> labels.tie(a, b)
    >>> labels.find(a).equal(labels.find(b))
    True
    """

    def __init__(self) -> None:
        self._parent = np.zeros(1, dtype=np.int64)
        self._fixed: dict[int, str] = {}
        self._frozen: list[tuple[np.ndarray, str]] = []

    def fresh(self, count: int) -> Tensor:
        """``count`` new labels, tied to nothing."""
        first = len(self._parent)
        new = np.arange(first, first + count, dtype=np.int64)
        self._parent = np.concatenate([self._parent, new])
        return torch.from_numpy(new.copy())

    def fixed(self, reason: str) -> Tensor:
        """A 0-dim label that freezes, for ``reason``, whatever is tied to it."""
        for label, known in self._fixed.items():
            if known == reason:
                return torch.tensor(label)
        fixed = self.fresh(1)[0]
        self._fixed[int(fixed)] = reason
        return fixed

    def find(self, labels: Tensor) -> Tensor:
        """The representative of each label's class, in the same shape."""
        return torch.from_numpy(self._find(labels.numpy()))

    def tie(self, a: Tensor, b: Tensor) -> None:
        """The labels that meet at one position, after broadcasting, become one class."""
        a, b = torch.broadcast_tensors(a, b)
        a, b = _shrink(a, b)
        self._union(a.reshape(-1).numpy(), b.reshape(-1).numpy())

    def freeze(self, labels: Tensor, reason: str) -> None:
        """These channels must stay; the first reason given is the one that is told."""
        (small,) = _shrink(labels)
        self._frozen.append((np.unique(small.numpy()), reason))

    def frozen(self) -> dict[int, str]:
        """Representative → reason, for every class with a label that was frozen."""
        reasons = dict(self._fixed)
        for labels, reason in self._frozen:
            for root in self._find(labels).tolist():
                reasons.setdefault(root, reason)
        reasons.pop(NEUTRAL, None)
        return reasons

    def varying(self, labels: Tensor) -> list[int]:
        """The dims along which the classes differ: where the channels lie."""
        (small,) = _shrink(labels)
        roots = self.find(small)
        return [
            dim
            for dim in range(roots.dim())
            if roots.shape[dim] > 1 and not roots.eq(roots.narrow(dim, 0, 1)).all()
        ]

    def along(self, labels: Tensor, dim: int) -> Tensor:
        """One label for each index of ``dim``, shape ``(size,)``; what differs elsewhere is tied.

        A layer that takes its input along ``dim`` uses one weight slice for all other positions, so
        whatever channels meet at that slice can be removed only together.
        """
        (small,) = _shrink(labels, keep=dim % labels.dim())
        flat = self.find(small).movedim(dim, 0).reshape(labels.shape[dim], -1)
        line = flat.amax(dim=1)
        self.tie(flat, line[:, None])
        return line

    def _find(self, labels: np.ndarray) -> np.ndarray:
        roots = self._parent[labels]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self._parent[labels] = roots
        return roots

    def _union(self, a: np.ndarray, b: np.ndarray) -> None:
        while True:
            a, b = self._find(a), self._find(b)
            open_ = (a != b) & (a != NEUTRAL) & (b != NEUTRAL)
            a, b = a[open_], b[open_]
            a, b = self._meet_fixed(a, b)
            if not len(a):
                return
            # Of several writes to one place the last wins; the loop ties those that lost.
            self._parent[np.maximum(a, b)] = np.minimum(a, b)

    def _meet_fixed(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fixed = np.fromiter(self._fixed, dtype=np.int64)
        at_a, at_b = np.isin(a, fixed), np.isin(b, fixed)
        for mine, other, here in ((a, b, at_a), (b, a, at_b)):
            for root in np.unique(mine[here]):
                met = np.unique(other[here & (mine == root)])
                self._frozen.append((np.setdiff1d(met, fixed), self._fixed[int(root)]))
        free = ~(at_a | at_b)
        return a[free], b[free]


def _shrink(*tensors: Tensor, keep: int | None = None) -> tuple[Tensor, ...]:
    """Drop to size 1 every dim that all of them merely repeat (stride 0)."""
    for dim in range(tensors[0].dim()):
        if dim != keep and all(t.shape[dim] > 1 and t.stride(dim) == 0 for t in tensors):
            tensors = tuple(t.narrow(dim, 0, 1) for t in tensors)
    return tensors
