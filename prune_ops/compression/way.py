"""Way: compresses a network other than by removing channels."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Way(ABC):
    """Compresses the layer weights of a network and says how they are stored.

    Attributes:
        name: its key in ``WAYS``, on the command line and in every table.
        label: what it does to the weights, in a few words, for the report's table.
        note: a sentence or two on its definition, for the report.
        needs_sparsity: whether it takes a share of zeros; others ignore ``sparsity``.
    """

    name: str
    label: str
    note: str
    needs_sparsity: bool = False

    @abstractmethod
    def compressed(self, model: nn.Module, sparsity: float) -> nn.Module:
        """A copy with compressed weights, as `prune_ops.weights.reweighted` makes it, to train."""

    @abstractmethod
    def stored_bytes(self, weight: Tensor) -> int:
        """The bytes that storing one compressed layer weight takes."""
