"""How much a command says: ``--quiet`` and ``--verbose``."""

from __future__ import annotations

import argparse
import sys
import traceback
from enum import IntEnum
from typing import Any

from search.errors import CutShort, is_theirs
from spaces.errors import UserError


class Verbosity(IntEnum):
    """Quiet: warnings, errors and the result. Verbose: also what ``log.txt`` gets, and tracebacks.

    >>> Verbosity.QUIET.note("search: loading torch")  # prints nothing
    """

    QUIET = 0
    USUAL = 1
    VERBOSE = 2

    @classmethod
    def popped(cls, options: dict[str, Any]) -> Verbosity:
        """The one that the options ask for, which are removed."""
        verbose, quiet = options.pop("verbose", False), options.pop("quiet", False)
        return cls.VERBOSE if verbose else cls.QUIET if quiet else cls.USUAL

    def note(self, line: str) -> None:
        """Print a line on stderr that is no warning."""
        if self > Verbosity.QUIET:
            print(line, file=sys.stderr, flush=True)

    def trace(self, error: BaseException) -> None:
        """When verbose, print the traceback of what was unforeseen or came from the user's code."""
        cause = error.__cause__ if isinstance(error, CutShort) else error
        told = isinstance(cause, UserError) and cause.__cause__ is None and not is_theirs(cause)
        if self == Verbosity.VERBOSE and isinstance(cause, Exception) and not told:
            print("".join(traceback.format_exception(cause)), file=sys.stderr, end="")

    def hint(self, error: UserError) -> str:
        """How to see the traceback of the user's own code, where it is neither shown nor kept."""
        lost = is_theirs(error) and error.log is None
        return "; --verbose shows the traceback" if lost and self < Verbosity.VERBOSE else ""


def add_verbosity(parser: argparse.ArgumentParser, short: bool = False) -> None:
    """Add the two flags, of which one may be given; ``short`` help does not show them."""
    group = parser.add_argument_group("what is printed").add_mutually_exclusive_group()
    quiet = "warnings, errors and the result alone"
    verbose = "also each rung and training as in log.txt, and the traceback of an error"
    for flag, text in (("--quiet", quiet), ("--verbose", verbose)):
        shown = argparse.SUPPRESS if short else text
        group.add_argument(flag, action="store_true", help=shown)
