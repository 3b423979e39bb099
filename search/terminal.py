"""What a command prints: its result on stdout, and on stderr what it does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console, RenderableType

from results.text import duration
from search import log
from search.progress import Progress
from search.verbosity import Verbosity


class Terminal:
    """Prints as much as is asked for; the only place that decides what that is.

    >>> terminal = Terminal(Verbosity.QUIET)
    >>> terminal.line("report: runs/mine/report.html")
    report: runs/mine/report.html
    >>> terminal.details("a table")
    """

    def __init__(self, verbosity: Verbosity = Verbosity.USUAL) -> None:
        self._verbosity, self._out = verbosity, Console()

    def result(self, *parts: RenderableType) -> None:
        """Print what was asked for."""
        self._out.print(*parts)

    def details(self, *parts: RenderableType) -> None:
        """Print what explains the result."""
        if self._verbosity > Verbosity.QUIET:
            self._out.print(*parts)

    def line(self, text: str) -> None:
        """Print a line of the result as it is, however long."""
        self._out.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Show progress while the block lasts; when verbose, what is logged too."""
        quiet, verbose = (self._verbosity == v for v in (Verbosity.QUIET, Verbosity.VERBOSE))
        progress = Progress(Console(stderr=True), duration, quiet)
        logged = log.shown_by(progress.say) if verbose else nullcontext()
        with progress, logged:
            yield progress
