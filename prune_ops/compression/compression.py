"""A way to compress with its share of zeros, applied to a network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from prune_ops.compression import WAYS
from prune_ops.compression.way import Size, size
from spaces.errors import unknown


@dataclass(frozen=True, slots=True)
class Compression:
    """A way by name and its share of zeros; can be pickled, hashed and compared.

    >>> half = Compression("magnitude", zeros=0.5)
    >>> sparse = half.of(model)                                                  # doctest: +SKIP

    Attributes:
        way: a name in ``WAYS``.
        zeros: share of the layer weights that become zero, if the way ``needs_zeros``.
    """

    way: str
    zeros: float = 0.0

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise unknown("way to compress", self.way, WAYS)

    def of(self, model: nn.Module) -> nn.Module:
        """A compressed copy of the network, still to be trained."""
        return WAYS[self.way].compressed(model, self.zeros)

    def size(self, model: nn.Module) -> Size:
        """The size of a network that was compressed in this way."""
        return size(model, WAYS[self.way].stored_bytes)
