"""The collector of what channels contribute to the layers that read them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.collectors.collector import Collector, Subject
from prune_ops.contributions import Layer, contributions, reads
from prune_ops.tracing import LayerTracer


class Contributions(Collector):
    """``CalibrationStats.contributions``: 8 bytes x channels² per group.

    On one CPU core it takes 1.4 times the plain forward pass (ResNet-50 at 224x224: 3.0 s against
    2.2 s for 16 images, and 65 MB), 1.9 times for ViT-B/16, whose hidden layers are 3072 wide.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._generator = torch.Generator().manual_seed(subject.seed)
        named = dict(subject.model.named_parameters(remove_duplicate=False))
        self._reads = reads(subject.space.groups, named)
        device = next(iter(named.values())).device
        self._gram = {
            g.name: torch.zeros(g.channels, g.channels, dtype=torch.float64, device=device)
            for g in subject.space.groups
        }

    def observing(self, images: int) -> AbstractContextManager[Any]:
        def add(weight: nn.Parameter, layer: Layer) -> None:
            slices = self._reads[weight]
            parts = contributions(layer, [m for _, m in slices], images, self._generator)
            for (group, _), x in zip(slices, parts, strict=True):
                self._gram[group.name].addmm_(x.T, x)

        return LayerTracer(self._reads, add)

    def result(self) -> dict[str, Tensor]:
        return self._gram
