"""What a person sees while a search runs: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from results import FinalRecord, TrialRecord
from results.text import duration, number, plural
from search.config import RunConfig

PAUSE_SECONDS = 15.0
"""Where there is no terminal, at most one line in so many seconds."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds of work, before and after the finals begin.

    >>> forecast = foresee(climb, budgets, engine)
    >>> forecast.trials + forecast.finals
    104.2
    """

    trials: float
    finals: float

    @property
    def total(self) -> float:
        """Seconds of the whole search."""
        return self.trials + self.finals


class Progress:
    """Follows a search; without a console it shows nothing.

    >>> with Progress(Console(stderr=True)) as progress:
    ...     task = build_task(progress=progress.working)
    ...     progress.begin(foresee(climb, budgets), trials=48)
    ...     engine.run(study, climb, 48, progress.trial)
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(quiet=True)
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
        self._forecast = Forecast(0.0, 0.0)
        self._trials, self._finals = 0, 0
        self._ended: dict[int, TrialRecord] = {}
        self._trained = 0
        self._said: set[str] = set()
        self._began, self._head_start = 0.0, 0.0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """One line that stays."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def say_once(self, line: str) -> None:
        """The same, however often it is told."""
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    def hiring(self, run: RunConfig) -> None:
        """Show, in a terminal, which cluster is waited for."""
        if run.engine == "ray":
            where = f"connecting to Ray at {run.address}" if run.address else "starting Ray here"
            self._bar.update(self._line, description=where)

    def working(self, what: str, done: int, total: int) -> None:
        """So much of what comes before the search is done: decoding images, the baseline."""
        self._show(what, done, total, f"{100 * done // max(total, 1)} %")

    def begin(self, forecast: Forecast, trials: int, records: Sequence[TrialRecord] = ()) -> None:
        """Say how long it will take; ``records`` are those that an earlier process left."""
        self._forecast, self._trials = forecast, trials
        self._ended = {r.number: r for r in records if r.state != "running"}
        self._head_start, self._began = self._done, time.perf_counter()
        left = trials - len(self._ended)
        self.say(
            f"forecast: about {duration(forecast.total - self._done)}, of which "
            f"{duration(forecast.trials * left / trials)} for {plural(left, 'trial')} and "
            f"{duration(forecast.finals)} for training the front"
        )

    def trial(self, record: TrialRecord) -> None:
        """A record was stored."""
        if record.state != "running":
            self._ended[record.number] = record
        self._show("trials", len(self._ended), self._trials, f"{self._best}, {self._left}")

    def begin_finals(self, networks: int) -> None:
        """The trials are over; so many trainings to the end follow."""
        self._finals, self._silent_until = networks, 0.0

    def final(self, record: FinalRecord) -> None:
        """One more network was trained to the end, or read from an earlier process."""
        self._trained += record.role != "baseline"
        self._show("finals", self._trained, self._finals, self._left)

    def begin_trainings(self, seconds: float, trainings: int) -> None:
        """Trainings of a comparison follow; say how long they will take together."""
        self._forecast, self._trials = Forecast(0.0, seconds), 0
        self._finals, self._trained, self._head_start = trainings, 0, 0.0
        self._silent_until, self._began = 0.0, time.perf_counter()
        self.say(f"forecast: about {duration(seconds)} for {plural(trainings, 'training')}")

    def training(self) -> None:
        """One more training of a comparison is done."""
        self._trained += 1
        self._show("trainings", self._trained, self._finals, self._left)

    @property
    def _best(self) -> str:
        known = [r.val_accuracy for r in self._ended.values() if r.state == "complete"]
        return f"best {number(max(known))} %" if known else "none complete"

    @property
    def _done(self) -> float:
        """Of the seconds that were forecast, those whose work is done."""
        trials = self._forecast.trials * len(self._ended) / max(self._trials, 1)
        return trials + self._forecast.finals * self._trained / max(self._finals, 1)

    @property
    def _left(self) -> str:
        """The rest of the forecast, at the pace so far."""
        done = self._done - self._head_start
        pace = (time.perf_counter() - self._began) / done if done > 0 else 1.0
        return f"{duration(max(0.0, self._forecast.total - self._done) * pace)} left"

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        text = f"{what} {done}/{total}"
        self._bar.update(self._line, description=text, completed=done, total=total, note=note)
        if self._console.is_terminal or time.perf_counter() < self._silent_until:
            return
        self._silent_until = time.perf_counter() + PAUSE_SECONDS
        self.say(f"{text}  {note}")
