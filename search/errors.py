"""Errors that end a search or a training from inside it."""

from __future__ import annotations

from spaces.errors import UserError


class SearchStopped(RuntimeError):
    """The search cannot go on; the message says why in one line."""


class DatabaseLost(UserError):
    """The database went away during the run and has not come back; no result is lost."""


class Diverged(ArithmeticError):
    """The loss became NaN or infinite; ``str(error)`` is one line."""
