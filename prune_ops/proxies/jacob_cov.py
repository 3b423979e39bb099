"""jacob_cov: how uncorrelated the network's Jacobians of different images are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.batches import described
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.proxies.passes import usable, with_batch_statistics
from prune_ops.running import forward, output_sum, repeatable
from spaces.errors import UserError

K = 1e-5
"""The paper's constant, against eigenvalues of 0."""


class JacobCov(Proxy):
    """How differently the network responds to different images.

    -Σ [log(v + k) + 1 / (v + k)], v the eigenvalues of the correlation of input Jacobians.

    The Jacobian of an image is the gradient by its pixels of the sum of all outputs, those of the
    batch's other images included, which BatchNorm on batch statistics lets it reach. The
    correlation is between the images of the first calibration batch of two images or more; k is
    ``K``, dropout is off. Images with equal Jacobians give eigenvalues near 0, each costing about
    1/k; if all are uncorrelated, every eigenvalue is 1: higher is better. It is ``nan`` if an
    image's gradient is the same at all pixels, as in a dead network.

    Definition: Mellor et al., Neural Architecture Search without Training, 2020 (arXiv 2006.04647,
    first version), called jacob_cov in Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS,
    ICLR 2021.
    """

    name = "jacob_cov"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        inputs, _ = next(usable(candidate.calibration))
        correlation = torch.corrcoef(_jacobians(candidate.pruned, inputs).double())
        if not correlation.isfinite().all():
            return math.nan
        v = torch.linalg.eigvalsh(correlation) + K
        return -(v.log() + 1 / v).sum().item()


@torch.enable_grad()
def _jacobians(model: nn.Module, inputs: Any) -> Tensor:
    """``(images, pixels)``: the gradient of the sum of an image's outputs by its pixels."""
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise UserError(
            "proxy 'jacob_cov' differentiates by the pixels of one tensor of images, but the "
            f"network's inputs are {described(inputs)}; use another proxy"
        )
    model, leaf = with_batch_statistics(model), inputs.detach().requires_grad_()
    with repeatable(model):
        flow = output_sum(forward(model, leaf.clone()))  # the first layer may work in place
        (gradient,) = torch.autograd.grad(flow, leaf, materialize_grads=True)
    return gradient.flatten(1)
