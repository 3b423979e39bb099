"""magnitude: unstructured pruning, the smallest weights become zero.

Han et al., Learning both Weights and Connections for Efficient Neural Networks, NeurIPS 2015. Their
thresholds are set by hand for every layer; here the share of zeros is given, and the threshold is
one for the network or follows from the share in each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from prune_ops.weights import Through, reweighted
from spaces import UserError, unknown

Scope = Literal["global", "layer"]
SCOPES: tuple[Scope, ...] = ("global", "layer")


class Masked(Through):
    """A weight with zeros where ``mask`` is False; they get no gradient and stay zero.

    Attributes:
        mask: bool, of the weight's shape; a buffer.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def sparsified(model: nn.Module, sparsity: float, scope: Scope = "global") -> nn.Module:
    """A copy whose smallest weights are zero, and stay zero when it is trained.

    >>> sparse = sparsified(model, 0.9)                                          # doctest: +SKIP
    >>> train(sparse, ...); plain = baked(sparse)                                # doctest: +SKIP

    Of n weights exactly round(sparsity x n) become zero; of equally large ones the first stay.
    Weights are those of ``layer_weights``; biases and normalisation are kept. The masks are
    buffers: ``conv1.parametrizations.weight.0.mask``. Convolutions still compute with the zeros:
    no FLOP is saved.

    Args:
        sparsity: share of the weights, 0 or more and below 1.
        scope: "global" compares all weights with one another and may empty a layer; "layer"
            removes the same share of each.

    Raises:
        UserError: sparsity or scope cannot be.
        ModelError: there is no weight.
    """
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity must be at least 0 and below 1, but got {sparsity}")
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)

    def masked(weights: Sequence[Tensor]) -> list[Through]:
        rivals = [weights] if scope == "global" else [[weight] for weight in weights]
        return [Masked(mask) for some in rivals for mask in _masks(some, sparsity)]

    return reweighted(model, masked)


def _masks(weights: Sequence[Tensor], sparsity: float) -> list[Tensor]:
    """True where a weight is among the largest of all of them."""
    sizes = torch.cat([weight.abs().flatten() for weight in weights])
    stay = len(sizes) - round(sparsity * len(sizes))
    kept = torch.zeros_like(sizes, dtype=torch.bool)
    kept[sizes.argsort(descending=True, stable=True)[:stay]] = True
    parts = kept.split([weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]
