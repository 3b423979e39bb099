"""ternary: every weight becomes -alpha, 0 or alpha."""

from __future__ import annotations

from torch import Tensor, nn

from prune_ops.compression.way import FLOAT, Way
from prune_ops.weights import WeightTransform, reweighted

THRESHOLD = 0.7
"""Delta in units of E|W|: the paper's approximation of the optimum, for uniformly and normally
distributed weights."""


class Ternary(Way):
    """The weights of a layer take three values, zero among them.

    Three values for each layer's weights; see `ternarised`.

    Definition: Li and Liu, Ternary Weight Networks, 2016 (arXiv 1605.04711).
    """

    name = "ternary"
    label = "three values for each layer's weights"
    note = (
        "Ternary weights (Li and Liu 2016) are \N{MINUS SIGN}\N{GREEK SMALL LETTER ALPHA}, 0 "
        "or \N{GREEK SMALL LETTER ALPHA}, one \N{GREEK SMALL LETTER ALPHA} a layer, the first "
        "and the last layer too. They were fine-tuned by the straight-through estimator. A weight "
        "takes 2 bits, an \N{GREEK SMALL LETTER ALPHA} 4 bytes."
    )

    def compressed(self, model: nn.Module, zeros: float) -> nn.Module:  # noqa: ARG002
        return ternarised(model)

    def stored_bytes(self, weight: Tensor) -> int:
        """Of 2 bits per weight, and one float32."""
        return -(-2 * weight.numel() // 8) + FLOAT


def ternary(weight: Tensor) -> Tensor:
    """The ternary approximation of a weight.

    >>> ternary(torch.tensor([2.0, -1.0, 0.5, 4.0]))  # Delta = 0.7 x 7.5 / 4 = 1.3125
    tensor([3., -0., 0., 3.])

    Delta = 0.7 E|W|; values up to Delta become 0, the rest their sign times alpha, the mean of
    their magnitudes, which is optimal in the least squares. All zeros stay zeros.
    """
    magnitude = weight.abs()
    kept = magnitude > THRESHOLD * magnitude.mean()
    # Not by indexing with ``kept``, which would synchronise with CUDA at every step.
    alpha = (magnitude * kept).sum() / kept.sum().clamp(min=1)
    return weight.sign() * kept * alpha


class TernaryWeight(WeightTransform):
    """A weight's ternary values; the gradient passes unchanged to the full-precision weight."""

    def forward(self, weight: Tensor) -> Tensor:
        # The difference is exactly 0: it adds nothing to the values and the identity to the
        # gradient. (The usual x + (q - x).detach() is q only up to rounding.)
        return ternary(weight).detach() + (weight - weight.detach())


def ternarised(model: nn.Module) -> nn.Module:
    """A copy with ternary weights; ``model`` is unchanged.

    >>> train(small := ternarised(model), ...)                                   # doctest: +SKIP
    >>> plain = without_parametrization(small)                                   # doctest: +SKIP

    Its parameters are the full-precision weights of ``model``. They can be trained: every forward
    pass computes Delta and alpha from them, one alpha per layer, and the backward pass treats the
    ternary function as the identity (the straight-through estimator). Weights are those of
    ``layer_weights``, as in the paper including the first and the last layer.

    Raises:
        ModelError: there is no weight.
    """
    return reweighted(model, lambda weights: [TernaryWeight() for _ in weights])
