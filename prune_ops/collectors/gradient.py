"""Collectors that observe images one by one, forward and backward.

The Fisher needs gradients per image; for the others a batch would give the same. On one CPU core it
costs 1.5 times the batched passes (ResNet-20 at 32x32), but runs what `vmap` does not support:
data-dependent control flow and ops without a batching rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count

import torch
from torch import Tensor

from prune_ops.activation_tracer import ActivationTracer, of_channels
from prune_ops.channels import PRODUCERS, channel_sums, weights
from prune_ops.collectors.collector import Collector, MapCollector, Subject
from spaces import Activation


class Attributions(Collector):
    """``CalibrationStats.attributions``: a minibatch's mean gradients, then sums per channel."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._batches: dict[str, list[Tensor]] = {group.name: [] for group in subject.groups}
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
            self._batches[group.name].append(sums)
        self._images = 0

    def result(self) -> dict[str, Tensor]:
        return {name: torch.stack(sums) for name, sums in self._batches.items()}


class Fisher(Collector):
    """``CalibrationStats.fisher``."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._images = 0
        self._squares = {n: torch.zeros_like(weight) for n, weight in subject.leaves.items()}

    def image(self, gradients: Mapping[str, Tensor]) -> None:
        own = [gradients[name] for name in self._squares]
        torch._foreach_addcmul_(list(self._squares.values()), own, own)
        self._images += 1

    def result(self) -> dict[str, Tensor]:
        return {name: total / self._images for name, total in self._squares.items()}


class Saliencies(MapCollector):
    """``CalibrationStats.saliencies``, by gradient hooks on the activation functions' outputs."""

    @contextmanager
    def observing(self, images: int) -> Iterator[None]:
        self._images += images
        uses = count()

        def hook(activation: Activation, output: Tensor) -> None:
            use, values = next(uses), output.detach()
            if activation.channels and output.requires_grad:
                output.register_hook(lambda g: self._add_products(use, activation, values * g))

        with ActivationTracer(self.subject.activations, hook):
            yield

    def _add_products(self, use: int, activation: Activation, products: Tensor) -> None:
        for group in activation.channels:
            mean = of_channels(activation, group, products).mean(1)
            self._add(group, use, mean.abs().double())
