"""The user's own model: ``package.module:function``."""

from __future__ import annotations

from torch import nn

from search import callables
from spaces.errors import UserError, blamed
from spaces.state import set_state, state_of


def build(spec: str, classes: int) -> nn.Module:
    """Call ``function(num_classes=classes)``, or ``function()`` if it does not take that or there
    are no classes, 0.

    Raises:
        UserError: the function cannot be found, fails, or returns something else than a module
            that works.
    """
    model = callables.call(spec, **({"num_classes": classes} if classes else {}))
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise UserError(f"{spec!r} must return a torch.nn.Module, but it returned {kind}")
    training = model.training
    try:  # methods of nn.Module that its class may have replaced, and on which all else relies
        followed = model.eval() is model and model.train() is model
        model.train(training)
        set_state(model, state_of(model))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{spec!r} must return a module that changes its mode and loads its own state_dict, "
            f"but doing so failed with {blamed(error)}"
        ) from error
    if not followed:
        raise UserError(
            f"{spec!r} must return a module whose train() and eval() return itself, but they do "
            "not; let them end with return self"
        )
    return model
