"""Way: compresses a network other than by removing channels; Size: what storing it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from prune_ops.weights import layer_weights, without_parametrization

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True, slots=True)
class Size:
    """The storage that a network takes.

    Attributes:
        nonzero: parameters without the zeros among layer weights.
        bytes: of everything that computing with it needs.
    """

    nonzero: int
    bytes: int


def float_bytes(weight: Tensor) -> int:
    """The bytes of a weight stored as float32."""
    return FLOAT * weight.numel()


def size(model: nn.Module, stored_bytes: Callable[[Tensor], int] = float_bytes) -> Size:
    """The size of a network.

    >>> size(nn.Linear(3, 2))
    Size(nonzero=8, bytes=32)

    Biases, normalisation and its running statistics are float32, and a shared tensor is stored
    once. Names and shapes are not counted.

    Args:
        stored_bytes: of one layer weight; see `Way.stored_bytes`.
    """
    plain = without_parametrization(model)
    weights = [weight.detach() for weight in layer_weights(plain)]
    parameters = sum(parameter.numel() for parameter in plain.parameters())
    statistics = sum(b.numel() for b in plain.buffers() if b.is_floating_point())
    rest = parameters + statistics - sum(weight.numel() for weight in weights)
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return Size(parameters - zeros, FLOAT * rest + sum(map(stored_bytes, weights)))


class Way(ABC):
    """Compresses the layer weights of a network and says how they are stored.

    Attributes:
        name: its key in ``WAYS``, on the command line and in every table.
        label: what it does to the weights, in a few words, for the report's table.
        note: a sentence or two on its definition, for the report.
        needs_zeros: whether it takes a share of zeros; others ignore ``zeros``.
    """

    name: str
    label: str
    note: str
    needs_zeros: bool = False

    @abstractmethod
    def compressed(self, model: nn.Module, zeros: float) -> nn.Module:
        """A copy with compressed weights, as `prune_ops.weights.reweighted` makes it, to train."""

    @abstractmethod
    def stored_bytes(self, weight: Tensor) -> int:
        """The bytes that storing one compressed layer weight takes."""
