"""Collector: what fills one field of the evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from prune_ops.collectors.subject import Subject


class Collector(ABC):
    """Looks on while the calibration images pass, then says what it found.

    Collectors of one pass share its forwards and backwards; what each finds does not depend on
    which others there are.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def watching(self, images: int) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Entered for the forward and, if there is one, the backward pass of so many images."""
        return nullcontext()

    def image(self, gradients: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Parameter name → gradient of one image's loss; where the pass takes gradients."""

    def batch_ends(self) -> None:  # noqa: B027
        """All images of a minibatch have passed."""

    @abstractmethod
    def result(self) -> dict[str, Tensor]:
        """The field of the evidence."""
