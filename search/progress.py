"""Progress of work: a bar in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

PAUSE_SECONDS = 15.0
"""Without a terminal, the least time between two lines."""


@dataclass
class Stage:
    """A part of the work: its steps, and the seconds that they are forecast to take together."""

    name: str
    steps: int
    seconds: float
    done: int = 0

    @property
    def seconds_done(self) -> float:
        """The part of the forecast seconds whose steps are done."""
        return self.seconds * self.done / max(self.steps, 1)


class Progress:
    """Shows the progress of work in stages; nothing without a console.

    >>> with Progress(Console(stderr=True)) as progress:
    ...     progress.begin([Stage("trials", 48, seconds=90.0)])
    ...     progress.advance("trials", note="best 93.41 %")

    Args:
        duration: formats seconds.
    """

    def __init__(
        self, console: Console | None = None, duration: Callable[[float], str] = "{:.0f} s".format
    ) -> None:
        self._console = console or Console(quiet=True)
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
        self._silent_until = 0.0
        self._stages: dict[str, Stage] = {}
        self._began, self._head_start = 0.0, 0.0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def waiting(self, what: str) -> None:
        """In a terminal, show what the program waits for."""
        self._bar.update(self._line, description=what)

    def working(self, what: str, done: int, total: int) -> None:
        """Show how far work is that was not forecast."""
        self._show(what, done, total, f"{100 * done // max(total, 1)} %")

    def begin(self, stages: Sequence[Stage]) -> None:
        """Begin work in these stages; steps that are done already were done before."""
        self._stages = {stage.name: stage for stage in stages}
        self._began, self._head_start = time.perf_counter(), self._done
        self._silent_until = 0.0

    def resize(self, name: str, steps: int) -> None:
        """Correct the number of steps of a stage, now that it is known."""
        self._stages.setdefault(name, Stage(name, steps, 0.0)).steps = steps
        self._silent_until = 0.0

    def advance(self, name: str, steps: int = 1, note: str = "") -> None:
        """Count steps of a stage as done; 0 shows the note alone."""
        stage = self._stages.setdefault(name, Stage(name, 0, 0.0))
        stage.done += steps
        left = f"{self._duration(self._left)} left"
        self._show(name, stage.done, stage.steps, f"{note}, {left}" if note else left)

    @property
    def _done(self) -> float:
        return sum(stage.seconds_done for stage in self._stages.values())

    @property
    def _left(self) -> float:
        """Seconds left, from the forecast and the pace so far."""
        total = sum(stage.seconds for stage in self._stages.values())
        since = self._done - self._head_start
        pace = (time.perf_counter() - self._began) / since if since > 0 else 1.0
        return max(0.0, total - self._done) * pace

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        text = f"{what} {done}/{total}"
        self._bar.update(self._line, description=text, completed=done, total=total, note=note)
        if self._console.is_terminal or time.perf_counter() < self._silent_until:
            return
        self._silent_until = time.perf_counter() + PAUSE_SECONDS
        self.say(f"{text}  {note}")
