"""The last resort: an unexpected error becomes one line, and its traceback goes to a file."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from spaces.errors import brief


def crash_line(error: Exception, log: Path | None = None) -> str:
    """One line about an error that is a bug of this program.

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
    if log is not None and log.is_file() and os.access(log, os.W_OK):
        with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return log
    descriptor, name = tempfile.mkstemp(prefix="pruning-search-", suffix=".txt")
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)
