"""Collectors that look at the outputs of activation functions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from prune_ops.collectors.collector import Collector, Subject
from prune_ops.tracing import ActivationTracer, of_channels
from spaces import Activation

Add = Callable[[Tensor], None]


class MapCollector(Collector):
    """The mean over images of a statistic of every output of an activation function."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._sums: dict[str, dict[int, Tensor]] = {g.name: {} for g in subject.space.groups}
        self._images = 0

    def observing(self, images: int) -> AbstractContextManager[Any]:
        self._images += images
        uses = count()

        def add(group: str, use: int, mean: Tensor) -> None:
            sums = self._sums[group]
            sums[use] = sums[use] + mean * images if use in sums else mean * images

        def observe(activation: Activation, output: Tensor) -> None:
            use = next(uses)
            for group in activation.channels:
                self._observe(activation, group, output, partial(add, group, use))

        return ActivationTracer(self.subject.space.activations, observe)

    @abstractmethod
    def _observe(self, activation: Activation, group: str, output: Tensor, add: Add) -> None:
        """``add`` the group's statistic ``(channels,)`` float64, the mean over the batch."""

    def result(self) -> dict[str, Tensor]:
        """Group name → ``(uses, channels)``; groups that pass no activation are left out."""
        return {
            name: torch.stack([sums[use] for use in sorted(sums)]) / self._images
            for name, sums in self._sums.items()
            if sums
        }


class Zeros(MapCollector):
    """``CalibrationStats.zeros``."""

    def _observe(self, activation: Activation, group: str, output: Tensor, add: Add) -> None:
        if activation.rectifies:
            add((of_channels(activation, group, output) == 0).double().mean(1))


class Ranks(MapCollector):
    """``CalibrationStats.ranks``: singular values of every map, by far the slowest of its pass."""

    def _observe(self, activation: Activation, group: str, output: Tensor, add: Add) -> None:
        index = torch.from_numpy(activation.channels[group]).to(output.device)
        items, dim = output, activation.dim
        if not self.subject.space.batched:
            items, dim = output[None], dim + 1
        own = items.movedim(dim, 1)[:, index.flatten()].float()
        width = own.shape[-1] if own.dim() > 2 else 1
        maps = own.reshape(*own.shape[:2], -1, width)  # a vector is one row
        ranks = torch.linalg.matrix_rank(maps).double()
        add(ranks.reshape(len(own), *index.shape).mean((0, 2)))


class Saliencies(MapCollector):
    """``CalibrationStats.saliencies``, by gradient hooks on the outputs."""

    def _observe(self, activation: Activation, group: str, output: Tensor, add: Add) -> None:
        values = output.detach()

        def hook(gradient: Tensor) -> None:
            own = [of_channels(activation, group, each) for each in (values, gradient)]
            add((own[0] * own[1]).mean(1).abs().double())

        if output.requires_grad:
            output.register_hook(hook)
