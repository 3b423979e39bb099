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
        self._count = 1
        self._room = np.arange(1024)  # label → one of its class, at last the representative
        self._is_fixed = np.zeros(1024, dtype=bool)
        self._fixed: dict[str, int] = {}
        self._frozen: list[tuple[np.ndarray, str]] = []
        self._together: list[tuple[np.ndarray, str]] = []

    def fresh(self, count: int) -> Tensor:
        """``count`` new labels, tied to nothing."""
        first, self._count = self._count, self._count + count
        if self._count > len(self._room):
            more = np.arange(len(self._room), max(self._count, 2 * len(self._room)))
            self._room = np.concatenate([self._room, more])
            self._is_fixed = np.concatenate([self._is_fixed, np.zeros(len(more), dtype=bool)])
        return torch.arange(first, self._count)

    def fixed(self, reason: str) -> Tensor:
        """A 0-dim label that freezes, for ``reason``, whatever is tied to it."""
        if reason not in self._fixed:
            label = int(self.fresh(1)[0])
            self._fixed[reason] = label
            self._is_fixed[label] = True
        return torch.tensor(self._fixed[reason])

    def find(self, labels: Tensor) -> Tensor:
        """The representative of each label's class, in the same shape."""
        roots = self._find(labels.reshape(-1).numpy())
        return torch.from_numpy(roots).view(labels.shape)

    def tie(self, a: Tensor, b: Tensor) -> None:
        """The labels that meet at one position, after broadcasting, become one class."""
        a, b = torch.broadcast_tensors(a, b)
        a, b = shrink(a, b)
        self._union(a.reshape(-1).numpy(), b.reshape(-1).numpy())

    def freeze(self, labels: Tensor, reason: str) -> None:
        """These channels must stay; the first reason given is the one that is told."""
        (small,) = shrink(labels)
        self._frozen.append((np.unique(small.numpy()), reason))

    def frozen(self) -> dict[int, str]:
        """Representative → reason, for every class with a label that was frozen."""
        reasons = {label: reason for reason, label in self._fixed.items()}
        for labels, reason in self._frozen:
            for root in self._find(labels).tolist():
                reasons.setdefault(root, reason)
        reasons.pop(NEUTRAL, None)
        return reasons

    def varying(self, labels: Tensor) -> list[int]:
        """The dims along which the classes differ: where the channels lie."""
        (small,) = shrink(labels)
        roots = self.find(small)
        return [
            dim
            for dim in range(roots.dim())
            if roots.shape[dim] > 1 and not roots.eq(roots.narrow(dim, 0, 1)).all()
        ]

    def along(self, labels: Tensor, dim: int, reason: str = "") -> Tensor:
        """One label for each index of ``dim``, shape ``(size,)``; what differs elsewhere is tied.

        A layer that takes its input along ``dim`` uses one weight slice for all other positions, so
        whatever channels meet at that slice can be removed only together.

        Args:
            reason: where that is, in case that channels meet.
        """
        (small,) = shrink(labels, keep=dim % labels.dim())
        flat = self.find(small).movedim(dim, 0).reshape(labels.shape[dim], -1)
        line = flat.amax(dim=1)
        differ = (flat != line[:, None]) & (flat != NEUTRAL)
        if reason and bool(differ.any()):
            self._together.append((line[differ.any(dim=1)].numpy(), reason))
        self.tie(flat, line[:, None])
        return line

    def why_together(self, label: int) -> str:
        """Where different channels of its class met in one slice; empty if none did."""
        root = self._find(np.array([label]))[0]
        found = (reason for met, reason in self._together if (self._find(met) == root).any())
        return next(found, "")

    def alone(self, labels: Tensor) -> Tensor:
        """Of each label whether it is tied to no other."""
        classes = np.bincount(self._find(np.arange(self._count)), minlength=self._count)
        return torch.from_numpy(classes[self.find(labels).numpy()] == 1)

    def _find(self, labels: np.ndarray) -> np.ndarray:
        roots = self._room[labels]
        while True:
            above = self._room[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self._room[labels] = roots
        return roots

    def _union(self, a: np.ndarray, b: np.ndarray) -> None:
        """All pairs at once: the classes become the connected components of what was tied.

        So a chain or a star of ties (a normalised weight whose every element meets one mean) costs
        no more than as many pairs apart.
        """
        from scipy.sparse import coo_array  # slow to import, and workers look for no groups
        from scipy.sparse.csgraph import connected_components

        a, b = self._find(a), self._find(b)
        differ = (a != b) & (a != NEUTRAL) & (b != NEUTRAL)
        a, b = self._meet_fixed(a[differ], b[differ])
        if not len(a):
            return
        roots, place = np.unique(np.concatenate([a, b]), return_inverse=True)
        ties = (np.ones(len(a), dtype=bool), (place[: len(a)], place[len(a) :]))
        graph = coo_array(ties, shape=(len(roots), len(roots)))
        count, component = connected_components(graph, directed=False)
        least = np.empty(count, dtype=np.int64)
        least[component[::-1]] = roots[::-1]  # roots ascend: the last write is the least of each
        self._room[roots] = least[component]

    def _meet_fixed(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at_a, at_b = self._is_fixed[a], self._is_fixed[b]
        if not (at_a.any() or at_b.any()):
            return a, b
        reasons = {label: reason for reason, label in self._fixed.items()}
        for mine, other, here in ((a, b, at_a & ~at_b), (b, a, at_b & ~at_a)):
            for root in np.unique(mine[here]).tolist():
                met = np.unique(other[here & (mine == root)])
                self._frozen.append((met, reasons[root]))
        free = ~(at_a | at_b)
        return a[free], b[free]


def shrink(*tensors: Tensor, keep: int | None = None) -> tuple[Tensor, ...]:
    """Drop to size 1 every dim that all of them merely repeat (stride 0)."""
    for dim in range(tensors[0].dim()):
        if dim != keep and all(t.shape[dim] > 1 and t.stride(dim) == 0 for t in tensors):
            tensors = tuple(t.narrow(dim, 0, 1) for t in tensors)
    return tensors
