"""What ends a search, or a training, from inside it."""

from __future__ import annotations

from spaces.errors import UserError


class SearchStopped(RuntimeError):
    """The search cannot usefully go on; the message says why in one line."""


class DatabaseLost(UserError):
    """The database was there when the run began and has not come back; nothing measured is lost."""


class Diverged(ArithmeticError):
    """The loss became NaN or infinite; ``str(error)`` is one line."""
