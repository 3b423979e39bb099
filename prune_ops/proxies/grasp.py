"""grasp: the gradient flow through the weights that the policy keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.proxies.passes import CALLER, Passes
from prune_ops.running import logits, repeatable


class GraSP(Proxy):
    """-Σ w ⊙ (H g) over the weights of all convolutions and linear layers.

    g and H are gradient and Hessian, by all these weights together, of the mean cross-entropy over
    the images of the first ``BATCHES`` calibration batches; H g comes from a double backward pass.
    BatchNorm uses batch statistics; no dropout, no temperature.

    It is the sum of the paper's S(-w), to first order the increase of ½ g·g as all weights shrink.
    It may be negative, and need not fall with the network's size. Where BatchNorm makes weights
    free of scale, H w = -g, so that their part is g·g: the gradient flow that pruning should
    preserve, higher = better.

    Definition: Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow,
    ICLR 2020, summed over the network as in Abdelfattah et al., Zero-Cost Proxies for Lightweight
    NAS, ICLR 2021.
    """

    name = "grasp"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        seen = candidate.passes
        along, parts = seen.gradient, zip(seen.shares, seen.batches, strict=True)
        return -sum(share * _curvature(seen, along, *batch) for share, batch in parts)


@torch.enable_grad()
def _curvature(seen: Passes, along: list[Tensor], inputs: Any, targets: Any) -> float:
    """Σ w ⊙ (H g) with the Hessian of one batch's loss; ``along`` is g, a tensor a weight."""
    weights = seen.weights
    # The fast attention kernels have no second derivative.
    with repeatable(seen.model), sdpa_kernel(SDPBackend.MATH):
        loss = cross_entropy(logits(seen.model, inputs, targets, CALLER), targets)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        pairs = zip(gradients, along, strict=True)
        slope = torch.stack([(own * g).sum() for own, g in pairs]).sum()
        products = torch.autograd.grad(slope, weights, materialize_grads=True)
    terms = zip(weights, products, strict=True)
    return sum((w.detach() * product).double().sum().item() for w, product in terms)
