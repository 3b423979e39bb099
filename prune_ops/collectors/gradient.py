"""Collectors that look on while images go forward and backward, one by one.

One by one because the Fisher needs it; the others find the same there as in a batch. On one CPU
core that costs 1.5 times the batched passes (ResNet-20 at 32x32), and takes any model that runs at
batch 1: `vmap` would take no data-dependent control flow and no op without a batching rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count

import torch
from torch import Tensor

from prune_ops.channels import PRODUCERS, channel_sums, weights
from prune_ops.collectors.collector import Collector
from prune_ops.collectors.maps import OfMaps
from prune_ops.collectors.subject import Subject
from prune_ops.watching import Activations, of_channels
from spaces import Activation


class Attributions(Collector):
    """``Evidence.attributions``: the gradients of a minibatch, then the sums over its channels."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._seen: dict[str, list[Tensor]] = {group.name: [] for group in subject.groups}
        self._sums: dict[str, Tensor] = {}
        self._images = 0

    def image(self, gradients: Mapping[str, Tensor]) -> None:
        if not self._images:
            self._sums = {name: gradient.clone() for name, gradient in gradients.items()}
        else:
            torch._foreach_add_(list(self._sums.values()), list(gradients.values()))
        self._images += 1

    def batch_ends(self) -> None:
        own = self.subject.weights
        products = {name: total * own[name] / self._images for name, total in self._sums.items()}
        for group in self.subject.groups:
            sums = channel_sums(group, weights(group, own, PRODUCERS), products)
            self._seen[group.name].append(sums)
        self._images = 0

    def result(self) -> dict[str, Tensor]:
        return {name: torch.stack(sums) for name, sums in self._seen.items()}


class Fisher(Collector):
    """``Evidence.fisher``."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._samples = 0
        self._squares = {n: torch.zeros_like(weight) for n, weight in subject.leaves.items()}

    def image(self, gradients: Mapping[str, Tensor]) -> None:
        seen = [gradients[name] for name in self._squares]
        torch._foreach_addcmul_(list(self._squares.values()), seen, seen)
        self._samples += 1

    def result(self) -> dict[str, Tensor]:
        return {name: total / self._samples for name, total in self._squares.items()}


class Saliencies(OfMaps):
    """``Evidence.saliencies``, by hooks on what comes out of the activation functions."""

    @contextmanager
    def watching(self, images: int) -> Iterator[None]:
        self._images += images
        uses = count()

        def found(activation: Activation, output: Tensor) -> None:
            use, values = next(uses), output.detach()
            if activation.channels and output.requires_grad:
                output.register_hook(lambda g: self._multiplied(use, activation, values * g))

        with Activations(self.subject.activations, found):
            yield

    def _multiplied(self, use: int, activation: Activation, products: Tensor) -> None:
        for group in activation.channels:
            mean = of_channels(activation, group, products).mean(1)
            self._add(group, use, mean.abs().double())
