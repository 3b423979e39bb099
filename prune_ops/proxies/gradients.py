"""snip, grasp, fisher and zico: by the gradients of the loss in ``candidate.passes``.

All see the images of the first ``BATCHES`` calibration batches (the papers: one or two), with
BatchNorm on batch statistics and dropout off, and only convolutions and linear layers count. snip
and grasp are summed over the network as in Abdelfattah et al., Zero-Cost Proxies for Lightweight
NAS, ICLR 2021.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.proxies.passes import CALLER, Passes
from prune_ops.running import batch_loss, repeatable, summed


class Snip(Proxy):
    """How strongly the loss depends on the weights that are left.

    Σ |g ⊙ w| over the weights of convolutions and linear layers, g the gradient of the mean
    cross-entropy over the images.

    |g w| is the first-order change of the loss when the weight is removed; the larger its sum over
    the kept weights, the better the network is said to train.

    Definition: Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, ICLR
    2019.
    """

    name = "snip"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        seen = candidate.passes
        pairs = zip(seen.gradient, seen.weights, strict=True)
        return summed((g * w.detach()).abs().double().sum() for g, w in pairs)


class GraSP(Proxy):
    """How well the gradient is kept: how fast it would learn.

    -Σ w ⊙ (H g) over the weights of convolutions and linear layers, g and H gradient and Hessian
    of the mean cross-entropy by all of them.

    H g comes from a double backward pass; there is no temperature. It is the sum of the paper's
    S(-w), to first order the increase of ½ g·g as all weights shrink. It may be negative, and need
    not fall with the network's size. Where BatchNorm makes weights free of scale, H w = -g, so that
    their part is g·g: the gradient flow that pruning should preserve, higher = better.

    Definition: Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow,
    ICLR 2020.
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
        loss = batch_loss(seen.model, seen.loss, inputs, targets, CALLER)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        pairs = zip(gradients, along, strict=True)
        slope = torch.stack([(own * g).sum() for own, g in pairs]).sum()
        products = torch.autograd.grad(slope, weights, materialize_grads=True)
    terms = zip(weights, products, strict=True)
    return summed((w.detach() * product).double().sum() for w, product in terms)


class Fisher(Proxy):
    """How strongly the loss depends on the outputs of channels.

    ½ Σ over layers and output channels c of mean_n (Σ_positions a ⊙ g)².

    a is a layer's output (before its BatchNorm and ReLU, the classifier included; a layer used
    twice counts twice), g the gradient by it of the loss of image n alone. The square is taken per
    image and channel. BatchNorm on batch statistics lets an image's output reach the losses of its
    batch, and g is the gradient of their sum.

    Definition: Theis et al., Faster gaze prediction with dense networks and Fisher pruning, 2018;
    as the score of a network: Turner et al., BlockSwap: Fisher-guided Block Substitution for
    Network Compression on a Budget, ICLR 2020.
    """

    name = "fisher"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        layers = zip(*candidate.passes.attributions, strict=True)
        squares = (torch.cat(batches).double().square() for batches in layers)
        return summed(layer.mean(0).sum() / 2 for layer in squares)


class ZiCo(Proxy):
    """How large gradients are, and how alike from batch to batch.

    Σ over layers of log Σ over their weights of mean|g| / std(g), over batches.

    g is the gradient of one batch's mean loss, of at least two batches; the standard deviation is
    that of the batches themselves (divided by their number) and of the signed g, as in the authors'
    code. Weights whose gradient is the same in all batches are left out, and so are layers where
    all are. A higher score is said to mean faster convergence and better generalisation.

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
