"""Errors that end a search or a training from inside it, and what becomes of unexpected ones."""

from __future__ import annotations

import os
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from spaces.errors import UserError, blamed, brief, users_line

STOPPED = 1
"""Exit code of work that ended before it was done, through no mistake of the user's."""

NOTHING = 3
"""Exit code of work that was done to its end, and of which nothing came out."""


class SearchStopped(RuntimeError):
    """The search cannot go on; the message says why in one line."""


class CutShort(RuntimeError):
    """Resumable work was cut short; ``str(error)`` is one line that says how to go on.

    Attributes:
        code: with which the process is to end.
    """

    def __init__(self, line: str, code: int = STOPPED) -> None:
        super().__init__(line)
        self.code = code


class NothingCameOut(RuntimeError):
    """No training of finished work succeeded; ``str(error)`` is one line that says why."""


class DatabaseLost(UserError):
    """The database went away during the run and has not come back; no result is lost."""


class LoopError(UserError):
    """A training loop of the user's fails, or what it leaves is not the network, trained."""


class Diverged(ArithmeticError):
    """The loss became NaN or infinite, or outputs are NaN; ``str(error)`` is one line."""


def crash_line(error: Exception, log: Path | None = None) -> str:
    """One line about an error that nobody foresaw; its traceback goes to a file.

    It is a bug of this program, unless the user's own code raised it.

    >>> crash_line(KeyError("x"), run / "log.txt")                      # doctest: +SKIP
    "internal error: KeyError: 'x'; the traceback is in runs/mine/log.txt; please report it"

    Args:
        log: the run's log, which the traceback is appended to; without one, or where it cannot be
            written, a temporary file is made.
    """
    try:
        where = f"the traceback is in {_keep_traceback(error, log)}"
    except OSError as full:
        where = f"its traceback could not be kept ({brief(full)})"
    if users_line(error):
        return f"stopped: {where}; the model or the data failed with {blamed(error)}"
    return f"internal error: {brief(error)}; {where}; please report it"


def refused_path(error: Exception) -> UserError | None:
    """The error for a file or folder that the system does not let us use; None for another error.

    A file that is not there is another: whoever looks for it says what should be in it.
    """
    if not isinstance(error, OSError) or error.filename is None or users_line(error):
        return None
    if isinstance(error, FileNotFoundError):
        return None
    path, why = os.fsdecode(error.filename), (error.strerror or brief(error)).lower()
    return UserError(
        f"{path} must be readable and writable, but got: {why}; mend that, or name another place"
    )


def keep_cause(error: UserError, log: Path) -> None:
    """Append the traceback of what the user's own code raised to the run's log, if there is one."""
    if is_theirs(error) and log.is_file():
        with suppress(OSError):
            error.log = _keep_traceback(error, log)


def is_theirs(error: UserError) -> bool:
    """Whether the user's own code raised what led to it."""
    cause = error.__cause__
    return hasattr(error, "__notes__") or (cause is not None and bool(users_line(cause)))


def _keep_traceback(error: Exception, log: Path | None) -> Path:
    if log is None or not log.is_file() or not os.access(log, os.W_OK):
        descriptor, name = tempfile.mkstemp(prefix="pruning-search-", suffix=".txt")
        os.close(descriptor)
        log = Path(name)
    with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write("".join(traceback.format_exception(error)))
    return log
