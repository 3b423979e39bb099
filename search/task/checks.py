"""Checks of a network before anything is trained; what one refuses, it refuses in one line."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from spaces import Space
from spaces.state import plain_state

Check = Callable[[nn.Module, Space], None]
"""Refuses a network, or what of it can be searched, by a `UserError`."""


def no_check(_model: nn.Module, _space: Space) -> None:
    """Accept every network."""


def savable(model: nn.Module, _space: Space) -> None:
    """What comes out of a search is saved: better to know before it that this cannot be.

    Raises:
        DataError: the extra state of a module is not of tensors and plain values.
    """
    plain_state(model)
