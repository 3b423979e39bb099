"""zico: gradients that are large, and consistent between batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prune_ops.proxies.candidate import Proxy, PrunedCandidate


class ZiCo(Proxy):
    """Σ over layers of log Σ over their weights of mean|g| / std(g), over batches.

    g is the gradient of one batch's mean cross-entropy; the batches are the first ``BATCHES`` of
    the calibration (the paper: two), at least two; the standard deviation is that of the batches
    themselves (divided by their number) and of the signed g, as in the authors' code. Weights whose
    gradient is the same in all batches are left out, and so are layers where all are. Convolutions
    and linear layers count, BatchNorm on batch statistics, dropout off. A higher score is said to
    mean faster convergence and better generalisation.

    Definition: Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients,
    ICLR 2023.
    """

    name = "zico"
    batches = 2

    def score(self, candidate: PrunedCandidate) -> float:
        layers = zip(*candidate.passes.gradients, strict=True)
        sums = [_inverse_variation(torch.stack(batches).double()) for batches in layers]
        return sum(math.log(value) for value in sums if value)


def _inverse_variation(gradients: Tensor) -> float:
    """``(batches, *weight)`` → Σ mean|g| / std(g)."""
    mean, deviation = gradients.abs().mean(0), gradients.std(0, correction=0)
    varies = deviation > 0
    return (mean[varies] / deviation[varies]).sum().item()
