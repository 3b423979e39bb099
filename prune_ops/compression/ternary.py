"""ternary: every weight becomes -alpha, 0 or alpha.

Li and Liu, Ternary Weight Networks, 2016 (arXiv 1605.04711).
"""

from __future__ import annotations

from torch import Tensor, nn

from prune_ops.weights import Through, reweighted

THRESHOLD = 0.7
"""Delta in units of E|W|: the paper's approximation of the best one, from a uniform and a normal
distribution of the weights."""


def ternary(weight: Tensor) -> Tensor:
    """The three-valued tensor that stands for a weight.

    >>> ternary(torch.tensor([2.0, -1.0, 0.5, 4.0]))  # Delta = 0.7 x 7.5 / 4 = 1.3125
    tensor([3., -0., 0., 3.])

    Delta = 0.7 E|W|; what is not larger becomes 0, the rest its sign times alpha, the mean of their
    absolute values, which of all alphas is the nearest in the least squares. All zeros stay zeros.
    """
    size = weight.abs()
    kept = size > THRESHOLD * size.mean()
    # Not by indexing with ``kept``, for which CUDA would have to be waited for at every step.
    alpha = (size * kept).sum() / kept.sum().clamp(min=1)
    return weight.sign() * kept * alpha


class Ternary(Through):
    """A weight's ternary values; the gradient goes to the full-precision weight as it is."""

    def forward(self, weight: Tensor) -> Tensor:
        # The difference is exactly 0: it adds nothing to the values and the identity to the
        # gradient. (x + (q - x).detach(), as is usual, is q but for rounding.)
        return ternary(weight).detach() + (weight - weight.detach())


def ternarised(model: nn.Module) -> nn.Module:
    """A copy with ternary weights; ``model`` is untouched.

    >>> small = ternarised(model)                                                # doctest: +SKIP
    >>> train(small, ...); plain = baked(small)                                  # doctest: +SKIP

    Its parameters are the full-precision weights of ``model``. They can be trained: every forward
    pass takes Delta and alpha anew from them, one alpha for a layer, and the backward pass takes
    the ternary function for the identity (the straight-through estimator). Weights are those of
    ``layer_weights``, the first and the last layer among them, as the paper makes no exception;
    biases and normalisation stay as they are. No FLOP is saved without hardware of its own.

    Raises:
        ModelError: there is no weight.
    """
    return reweighted(model, lambda weights: [Ternary() for _ in weights])
