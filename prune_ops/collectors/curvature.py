"""The collector that differentiates every image's gradients once more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from prune_ops.collectors.collector import Collector, NoCurvature, NoGradients, Subject

DRAWS = 2
"""Random probes per image."""


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
            self._probe(gradients)

    def _probe(self, gradients: Mapping[str, Tensor]) -> None:
        probes = {name: self._signs(name) * self.subject.weights[name] for name in self._sums}
        slope = torch.stack([(gradients[n] * probe).sum() for n, probe in probes.items()]).sum()
        if not slope.requires_grad:
            return  # gradients that are constant
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
