"""random: the baseline that every other criterion has to beat."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores


class Random(Criterion):
    """Drawn at random: what every criterion must beat.

    S_c drawn uniformly from [0, 1), determined by the seed and the group's name alone.

    So a group's scores depend on neither the other groups nor the machine. They estimate nothing,
    hence ``comparable`` is false.
    """

    name = "random"

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        return {g.name: _draw(f"{stats.seed}:{g.name}", g.channels) for g in groups}


def _draw(key: str, channels: int) -> Tensor:
    # Python's own hash() of a string differs from process to process.
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
    return torch.rand(channels, generator=torch.Generator().manual_seed(seed))
