"""What collectors of feature maps share: a number a channel at every activation function."""

from __future__ import annotations

import torch
from torch import Tensor

from prune_ops.collectors.collector import Collector
from prune_ops.collectors.subject import Subject


class OfMaps(Collector):
    """Adds up ``(channels,)`` a group and use of an activation function, then divides by images."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._sums: dict[str, dict[int, Tensor]] = {g.name: {} for g in subject.groups}
        self._images = 0

    def _add(self, group: str, use: int, values: Tensor) -> None:
        sums = self._sums[group]
        sums[use] = sums[use] + values if use in sums else values

    def result(self) -> dict[str, Tensor]:
        """Group name → ``(uses, channels)``; groups that pass none are left out."""
        return {
            name: torch.stack([sums[use] for use in sorted(sums)]) / self._images
            for name, sums in self._sums.items()
            if sums
        }
