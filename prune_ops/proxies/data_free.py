"""params and synflow: the pruned network's size and the strength of its paths, without data."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_map_only

from prune_ops.batches import described
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.running import forward, output_sum, repeatable, summed
from prune_ops.weights import layer_weights
from spaces import copied
from spaces.errors import UserError
from spaces.inputs import part, tensors

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


class Params(Proxy):
    """Number of parameters: the control that others must beat.

    The number of parameters of the pruned network, a shared one counted once.

    It is the control: most proxies grow with it, and one that ranks policies of equal FLOPs no
    better is not worth its cost.

    Compared with in: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021; White
    et al., A Deeper Look at Zero-Cost Proxies for Lightweight NAS, ICLR Blog Track 2022.
    """

    name = "params"

    def score(self, candidate: PrunedCandidate) -> float:
        return float(sum(parameter.numel() for parameter in candidate.pruned.parameters()))


class SynFlow(Proxy):
    """How much flows from inputs to outputs; needs no images.

    Σ |w ⊙ ∂R/∂w| over the weights of all convolutions and linear layers, R = 1ᵀ Π|W| 1.

    R is the sum of the outputs for one all-ones image of the calibration images' shape, with the
    absolute value of every parameter, layers without bias and normalisations left out; the network
    is otherwise in eval mode, activations unchanged (a ReLU passes everything). Every path counts
    with the product of its weights, so that fewer channels always score lower.

    It is computed in double precision: with fresh weights it is 3e25 for ResNet-20, 2e71 for
    ResNet-56, where float overflows (3e38), and 2e227 for ResNet-152; double ends at 2e308, and
    beyond that the network is refused.

    Definition: Tanaka et al., Pruning neural networks without any data by iteratively conserving
    synaptic flow, NeurIPS 2020, summed over the network as in Abdelfattah et al., Zero-Cost Proxies
    for Lightweight NAS, ICLR 2021.
    """

    name = "synflow"
    batches = 1

    def score(self, candidate: PrunedCandidate) -> float:
        scores = synaptic_scores(candidate.pruned, candidate.calibration[0][0])
        strength = summed(score.sum() for score in scores)
        if not math.isfinite(strength):
            raise UserError(
                f"synflow must be finite in double precision, but is {strength}: the network is "
                "too deep or its weights are not finite; use another proxy"
            )
        return strength


@torch.enable_grad()
def synaptic_scores(model: nn.Module, images: Any) -> list[Tensor]:
    """|w ⊙ ∂R/∂w| of each of ``layer_weights``; only the images' shape is used."""
    if not all(tensor.is_floating_point() for tensor in tensors(images)):
        raise UserError(
            "proxy 'synflow' puts ones in the place of all inputs, but the network takes integers "
            f"among {described(images)}; use another proxy"
        )
    model = _linear(model)
    weights = layer_weights(model.requires_grad_(False))
    for weight in weights:
        weight.requires_grad_(True)
    with repeatable(model):
        ones = partial(torch.ones_like, dtype=torch.float64)
        flow = output_sum(forward(model, tree_map_only(Tensor, ones, part(images, 0, 1))))
        gradients = torch.autograd.grad(flow, weights, materialize_grads=True)
    pairs = zip(weights, gradients, strict=True)
    return [(weight * gradient).detach().abs() for weight, gradient in pairs]


def _linear(model: nn.Module) -> nn.Module:
    """A copy of absolute weights without biases and normalisations, in double precision."""
    model = copied(model).eval().double()
    for parameter in model.parameters():
        parameter.data.abs_()
    for module in model.modules():
        if isinstance(module, NORMS):
            module.register_forward_hook(lambda _module, inputs, _outputs: inputs[0])
        elif isinstance(bias := getattr(module, "bias", None), nn.Parameter):
            bias.data.zero_()
    return model
