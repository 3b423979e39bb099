"""The user's own model: ``package.module:function``."""

from __future__ import annotations

from torch import nn

from search import callables
from spaces.errors import UserError


def build(spec: str, classes: int) -> nn.Module:
    """Call ``function(num_classes=classes)``, or ``function()`` if it does not take that.

    Raises:
        UserError: the function cannot be found, fails, or returns something else than a module.
    """
    model = callables.call(spec, num_classes=classes)
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise UserError(f"{spec!r} must return a torch.nn.Module, but it returned {kind}")
    return model
