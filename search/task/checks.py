"""Checks of a network, made before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from spaces import Space
from spaces.state import plain_state

Check = Callable[[nn.Module, Space], None]
"""Raises `UserError` for a network, or a space, that cannot be used."""


def no_check(_model: nn.Module, _space: Space) -> None:
    """Accept every network."""


def savable(model: nn.Module, _space: Space) -> None:
    """Check that the network can be saved, as searched networks will be.

    Raises:
        DataError: a module has extra state other than tensors and plain values.
    """
    plain_state(model)
