"""The stages of work: what each is forecast to take, how far it is, and how long the rest takes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(eq=False)
class Stage:
    """A part of the work: its steps, and the seconds that they are forecast to take together.

    Attributes:
        ends_at: when it ends at the latest, on the clock of ``time.perf_counter``.
        estimated: whether the number of steps is one too.
    """

    name: str
    steps: int
    seconds: float
    done: int = 0
    ends_at: float = math.inf
    estimated: bool = False

    @property
    def seconds_done(self) -> float:
        """The part of the forecast seconds whose steps are done."""
        return self.seconds * self.done / max(self.steps, 1)

    def seconds_left(self, pace: float = 1.0) -> float:
        """The rest of them, at a multiple of the forecast."""
        rest = max(0.0, self.seconds - self.seconds_done) * pace
        return min(rest, max(0.0, self.ends_at - time.perf_counter()))

    @property
    def fits(self) -> bool:
        """Whether all of it is forecast to be done before it must end."""
        return self.seconds_left() >= self.seconds - self.seconds_done

    def cut_short(self) -> None:
        """End it here: nothing of it is left to do."""
        self.seconds, self.steps = self.seconds_done, self.done


class Stages:
    """Work in stages, begun now; steps that are done already were done before.

    >>> stages = Stages([Stage("trials", 48, seconds=90.0), Stage("trainings", 12, seconds=40.0)])
    >>> stages["trials"].done += 1
    >>> stages.seconds_left(after="trials")
    40.0
    """

    def __init__(self, stages: Iterable[Stage] = ()) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._began, self._head_start = time.perf_counter(), self._seconds_done

    def __getitem__(self, name: str) -> Stage:
        """The stage of that name; one that nobody has forecast is without steps."""
        return self._stages.setdefault(name, Stage(name, 0, 0.0))

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._stages.values())

    @property
    def pace(self) -> float:
        """How long the work took so far, as a multiple of its forecast."""
        forecast = self._seconds_done - self._head_start
        return (time.perf_counter() - self._began) / forecast if forecast > 0 else 1.0

    def seconds_left(self, after: str = "") -> float:
        """Seconds left at the pace so far; those ``after`` a stage, if one is named."""
        names = list(self._stages)
        following = names[names.index(after) + 1 :] if after in names else names
        pace = self.pace
        return sum(self._stages[name].seconds_left(pace) for name in following)

    @property
    def _seconds_done(self) -> float:
        return sum(stage.seconds_done for stage in self._stages.values())
