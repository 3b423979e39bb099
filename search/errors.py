"""Errors of a search that are not the user's mistakes; those are `spaces.UserError`."""

from __future__ import annotations


class SearchStopped(RuntimeError):
    """The search cannot usefully go on; the message says why in one line."""


class Diverged(ArithmeticError):
    """The loss became NaN or infinite; ``str(error)`` is one line."""
