"""magnitude: unstructured pruning, the smallest weights become zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from prune_ops.compression.way import FLOAT, Way, float_bytes
from prune_ops.weights import WeightTransform, reweighted
from spaces import UserError, unknown

Scope = Literal["global", "layer"]
SCOPES: tuple[Scope, ...] = ("global", "layer")


class Magnitude(Way):
    """The smallest weights of the whole network become zero.

    Zeros for the smallest weights of the whole network; see `sparsified`.

    Definition: Han et al., Learning both Weights and Connections for Efficient Neural Networks,
    NeurIPS 2015, who set a threshold by hand for every layer; here the share of zeros is given.
    """

    name = "magnitude"
    label = "zeros for the smallest weights"
    note = (
        "Magnitude pruning (Han et al. 2015) leaves the largest weights of the whole network, "
        "as many as the searched network of that budget has parameters, and keeps the others "
        "zero through the fine-tuning. A weight that is not zero takes 4 bytes; a bitmap or "
        "the indices of CSR, whichever is smaller in that layer, say where they are."
    )
    needs_zeros = True

    def compressed(self, model: nn.Module, zeros: float) -> nn.Module:
        return sparsified(model, zeros)

    def stored_bytes(self, weight: Tensor) -> int:
        """Of non-zero float32 values and their positions, or of all values if that is smaller.

        Positions are a bitmap, 1 bit per weight, or as in CSR, whichever is smaller: row starts of
        4 bytes, column numbers of 1, 2 or 4 bytes.
        """
        nonzero, rows = int((weight != 0).sum()), len(weight)
        columns = weight.numel() // rows
        bitmap = -(-weight.numel() // 8)
        index = 1 if columns <= 2**8 else 2 if columns <= 2**16 else 4
        csr = FLOAT * (rows + 1) + index * nonzero
        return min(float_bytes(weight), FLOAT * nonzero + min(bitmap, csr))


class MaskedWeight(WeightTransform):
    """A weight with zeros where ``mask`` (bool, of its shape) is False; they get no gradient."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def sparsified(model: nn.Module, sparsity: float, scope: Scope = "global") -> nn.Module:
    """A copy whose smallest weights are zero, and stay zero in training.

    >>> train(sparse := sparsified(model, 0.9), ...)                             # doctest: +SKIP
    >>> plain = without_parametrization(sparse)                                  # doctest: +SKIP

    Of n weights (those of ``layer_weights``) exactly round(sparsity x n) become zero; of equal
    magnitudes the first are kept. The masks are buffers:
    ``conv1.parametrizations.weight.0.mask``. Convolutions still compute all FLOPs.

    Args:
        sparsity: share of the weights, 0 or more and below 1.
        scope: "global" compares the weights of all layers and may empty a layer; "layer" removes
            the same share of each.

    Raises:
        UserError: sparsity or scope is not valid.
        ModelError: there is no weight.
    """
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity must be at least 0 and below 1, but got {sparsity}")
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)

    def masked(weights: Sequence[Tensor]) -> list[MaskedWeight]:
        compared = [weights] if scope == "global" else [[weight] for weight in weights]
        return [MaskedWeight(mask) for own in compared for mask in _masks(own, sparsity)]

    return reweighted(model, masked)


def _masks(weights: Sequence[Tensor], sparsity: float) -> list[Tensor]:
    """True where a weight is among the largest of all of them."""
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    count = len(magnitudes) - round(sparsity * len(magnitudes))
    kept = torch.zeros_like(magnitudes, dtype=torch.bool)
    kept[magnitudes.argsort(descending=True, stable=True)[:count]] = True
    parts = kept.split([weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]
