"""compression: a way to compress a network other than by its channels, to set beside a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from prune_ops.compression.magnitude import sparsified
from prune_ops.compression.sizes import Encoding, Size, size
from prune_ops.compression.ternary import ternarised

Way = Literal["magnitude", "ternary"]
WAYS: Mapping[Way, Encoding] = {"magnitude": "sparse", "ternary": "ternary"}
"""How each is stored."""


@dataclass(frozen=True, slots=True)
class Compression:
    """One of the ways; can be pickled, hashed and compared.

    >>> half = Compression("magnitude", sparsity=0.5)
    >>> sparse = half.of(model)                                                  # doctest: +SKIP

    Attributes:
        sparsity: share of the layer weights that become zero, compared over the whole network.
    """

    way: Way
    sparsity: float = 0.0

    def of(self, model: nn.Module) -> nn.Module:
        """The network compressed, still to be trained; see ``sparsified`` and ``ternarised``."""
        return ternarised(model) if self.way == "ternary" else sparsified(model, self.sparsity)

    def size(self, model: nn.Module) -> Size:
        """Of a network that was compressed in this way."""
        return size(model, WAYS[self.way])
