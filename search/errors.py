"""Errors that end a search or a training from inside it, and what becomes of unexpected ones."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from spaces.errors import UserError, brief


class SearchStopped(RuntimeError):
    """The search cannot go on; the message says why in one line."""


class CutShort(RuntimeError):
    """Resumable work was cut short; ``str(error)`` is one line that says how to go on.

    Attributes:
        code: with which the process is to end.
    """

    def __init__(self, line: str, code: int = 1) -> None:
        super().__init__(line)
        self.code = code


class DatabaseLost(UserError):
    """The database went away during the run and has not come back; no result is lost."""


class Diverged(ArithmeticError):
    """The loss became NaN or infinite; ``str(error)`` is one line."""


def crash_line(error: Exception, log: Path | None = None) -> str:
    """One line about an error that is a bug of this program; its traceback goes to a file.

    >>> crash_line(KeyError("x"), run / "log.txt")                      # doctest: +SKIP
    "internal error: KeyError: 'x'; the traceback is in runs/mine/log.txt; please report it"

    Args:
        log: the run's log, which the traceback is appended to; without one, or where it cannot be
            written, a temporary file is made.
    """
    text = "".join(traceback.format_exception(error))
    try:
        where = f"the traceback is in {_keep_traceback(text, log)}"
    except OSError as full:
        where = f"its traceback could not be kept ({brief(full)})"
    return f"internal error: {brief(error)}; {where}; please report it"


def _keep_traceback(text: str, log: Path | None) -> Path:
    if log is None or not log.is_file() or not os.access(log, os.W_OK):
        descriptor, name = tempfile.mkstemp(prefix="pruning-search-", suffix=".txt")
        os.close(descriptor)
        log = Path(name)
    with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return log
