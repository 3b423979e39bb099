"""Collectors that take the gradients of single images by the weights.

The Fisher needs them per image, and Curvature draws signs for each; attributions would be the same
from a batch. On one CPU core that costs 1.5 times the batched passes (ResNet-20 at 32x32), but runs
what `vmap` does not support: data-dependent control flow and ops without a batching rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from prune_ops.channels import PRODUCERS, channel_sums, weights
from prune_ops.collectors.collector import Collector, NoCurvature, NoGradients, Subject

DRAWS = 2
"""Random probes of the curvature per image."""


class Attributions(Collector):
    """``CalibrationStats.attributions``: a minibatch's mean gradients, then sums per channel."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._batches: dict[str, list[Tensor]] = {group.name: [] for group in subject.space.groups}
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
        for group in self.subject.space.groups:
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


class Curvature(Collector):
    """``CalibrationStats.curvature``: E[u ⊙ Hu], u = v ⊙ w with new signs v = ±1 for every draw.

    That is Hutchinson's E[v ⊙ Hv] for the Hessian by the weights' relative changes, whose diagonal
    is h_ii w_i² itself. Like that diagonal, every draw is invariant when a factor moves from one
    layer to the next; signs alone, multiplied by w_i² afterwards, would not be.

    On one CPU core it takes 8 times the Fisher's pass (digits_cnn, 256 images).
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._generator = torch.Generator().manual_seed(subject.seed)
        unique = {id(leaf): name for name, leaf in subject.leaves.items()}
        self._sums = {n: torch.zeros_like(subject.weights[n]) for n in unique.values()}
        self._first_names = {name: unique[id(leaf)] for name, leaf in subject.leaves.items()}
        self._images = 0

    def observing(self, images: int) -> AbstractContextManager[Any]:
        self._images += images
        return sdpa_kernel(SDPBackend.MATH)  # other attention kernels have no second derivative

    def image(self, gradients: Mapping[str, Tensor]) -> None:
        for _ in range(DRAWS):
            probes = {name: self._signs(name) * self.subject.weights[name] for name in self._sums}
            slope = torch.stack([(gradients[n] * probe).sum() for n, probe in probes.items()]).sum()
            if not slope.requires_grad:
                continue  # gradients that are constant
            try:
                products = self.subject.gradients(slope, retain_graph=True)
            except NoGradients as error:
                raise NoCurvature(str(error)) from error
            for name, probe in probes.items():
                self._sums[name].addcmul_(probe, products[name])

    def _signs(self, name: str) -> Tensor:
        sums = self._sums[name]
        signs = torch.randint(2, sums.shape, generator=self._generator) * 2 - 1
        return signs.to(sums.device, sums.dtype)

    def result(self) -> dict[str, Tensor]:
        means = {name: total / (DRAWS * self._images) for name, total in self._sums.items()}
        return {name: means[first] for name, first in self._first_names.items()}
