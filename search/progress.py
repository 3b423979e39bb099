"""Progress of work: a bar in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from search.stages import Stage, Stages

PAUSE_SECONDS = 30.0
"""Without a terminal, how long nothing is said before a line on how far the work is."""


class Progress:
    """Shows the progress of work in stages; nothing without a console.

    >>> with Progress(Console(stderr=True)) as progress:
    ...     progress.begin([Stage("trials", 48, seconds=90.0)])
    ...     progress.advance("trials", note="best 93.41 %")

    Args:
        duration: formats seconds.
        quiet: show warnings alone.

    Attributes:
        stages: what was forecast, and how far it is.
    """

    def __init__(
        self,
        console: Console | None = None,
        duration: Callable[[float], str] = "{:.0f} s".format,
        quiet: bool = False,
    ) -> None:
        self._warnings = console or Console(quiet=True)
        self._console = Console(quiet=True) if quiet else self._warnings
        self._duration = duration
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._line = self._bar.add_task("starting", total=None, note="")
        self._began = self._shown_at = time.perf_counter()
        self._shown = ""
        self._uncounted: dict[str, float] = {}
        self.stages = Stages()

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """For how long the work goes on."""
        return time.perf_counter() - self._began

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._shown_at = time.perf_counter()
        _print(self._console, line)

    def warn(self, line: str) -> None:
        """Print a line that stays and that nobody should miss."""
        _print(self._warnings, line)

    def waiting(self, what: str) -> None:
        """In a terminal, show what the program waits for."""
        self._bar.update(self._line, description=what)

    def working(self, what: str, done: int, total: int) -> None:
        """Show how far work is that was not forecast, and how long the rest takes at this pace."""
        began = self._uncounted.setdefault(what, time.perf_counter())
        note = f"{100 * done // max(total, 1)} %"
        if 1 < done < total:
            taken = time.perf_counter() - began
            note += f", {self._duration(taken * (total - done) / (done - 1))} left"
        self._show(what, done, total, note)

    def begin(self, stages: Iterable[Stage]) -> None:
        """Begin work in these stages; steps that are done already were done before."""
        self.stages = Stages(stages)

    def resize(self, name: str, steps: int) -> None:
        """Correct the number of steps of a stage, now that it is known."""
        self.stages[name].steps = steps

    def advance(self, name: str, steps: int = 1, note: str = "") -> None:
        """Count steps of a stage as done; 0 shows the note alone."""
        stage = self.stages[name]
        stage.done += steps
        left = f"{self._duration(self.stages.seconds_left())} left"
        self._show(name, stage.done, stage.steps, f"{note}, {left}" if note else left)

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        text = f"{what} {done}/{total}"
        self._bar.update(self._line, description=text, completed=done, total=total, note=note)
        if not self._console.is_terminal and self._is_due(what, done >= total):
            self._shown = what
            self.say(f"{text}  {note}")

    def _is_due(self, what: str, ends: bool) -> bool:
        """After a pause, and at the end of what lasted for longer than that."""
        paused = time.perf_counter() - self._shown_at >= PAUSE_SECONDS
        return paused or (ends and what == self._shown)


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
