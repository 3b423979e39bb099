"""sizes: how many weights of a network are not zero, and the bytes it takes to store it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from prune_ops.weights import baked, layer_weights

Encoding = Literal["dense", "sparse", "ternary"]
FLOAT = 4
"""Bytes of a float32; so large are also the row starts of CSR, and alpha."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a network takes.

    Attributes:
        nonzero: parameters, the zeros among the weights of layers apart.
        bytes: of everything that computing with it needs.
    """

    nonzero: int
    bytes: int


def size(model: nn.Module, encoding: Encoding = "dense") -> Size:
    """The size of a network whose layer weights are stored in that encoding.

    >>> size(nn.Linear(3, 2))
    Size(nonzero=8, bytes=32)

    Everything else, biases, normalisation and its running statistics, is float32, and what is
    shared is stored once. Names and shapes are not counted. Of layer weights

    - ``dense`` ones are float32;
    - of ``sparse`` ones only what is not zero is, and where it belongs is said by a bitmap, 1 bit
      a weight, or as in CSR: row starts of 4 bytes, column numbers of 1, 2 or 4 bytes. Each layer
      takes what is smallest, float32 for all of it included;
    - ``ternary`` ones take 2 bits each, and one float32 a layer.
    """
    plain = baked(model)
    weights = [weight.detach() for weight in layer_weights(plain)]
    parameters = sum(parameter.numel() for parameter in plain.parameters())
    statistics = sum(b.numel() for b in plain.buffers() if b.is_floating_point())
    others = parameters + statistics - sum(weight.numel() for weight in weights)
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    stored = sum(_bytes(weight, encoding) for weight in weights)
    return Size(parameters - zeros, FLOAT * others + stored)


def _bytes(weight: Tensor, encoding: Encoding) -> int:
    n = weight.numel()
    match encoding:
        case "dense":
            return FLOAT * n
        case "ternary":
            return -(-2 * n // 8) + FLOAT
        case "sparse":
            nonzero, rows = int((weight != 0).sum()), len(weight)
            bitmap = -(-n // 8)
            csr = FLOAT * (rows + 1) + _index_bytes(n // rows) * nonzero
            return min(FLOAT * n, FLOAT * nonzero + min(bitmap, csr))


def _index_bytes(columns: int) -> int:
    return 1 if columns <= 2**8 else 2 if columns <= 2**16 else 4
