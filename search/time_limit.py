"""The time limit of a process: until when it begins trials."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from results.text import duration


def _nothing() -> float:
    return 0.0


@dataclass(frozen=True)
class TimeLimit:
    """No trial begins any more once what follows the trials would not fit into ``seconds``.

    >>> limit = TimeLimit.of(hours=0.5).reserving(lambda: 300.0)
    >>> limit.reached  # before 25 minutes have passed
    False

    Args:
        seconds: the most that the process is to take, from when this was made.
        reserve: says how long what follows the trials will take.
    """

    seconds: float = math.inf
    reserve: Callable[[], float] = _nothing
    began: float = field(default_factory=lambda: time.perf_counter())

    @classmethod
    def of(cls, hours: float | None) -> TimeLimit:
        """The limit that is so many hours from now; none for None."""
        return cls() if hours is None else cls(3600 * hours)

    def reserving(self, reserve: Callable[[], float]) -> TimeLimit:
        """The same limit, with that reserve."""
        return replace(self, reserve=reserve)

    @property
    def ends_at(self) -> float:
        """When all must have ended, on the clock of ``time.perf_counter``."""
        return self.began + self.seconds

    @property
    def reached(self) -> bool:
        """Whether it is too late to begin a trial, or another rung of one."""
        return time.perf_counter() + self.reserve() >= self.ends_at

    @property
    def spent(self) -> bool:
        """Whether all the time has passed."""
        return time.perf_counter() >= self.ends_at


def no_trials(needed: float, limit: TimeLimit) -> str:
    """What is said where no trial fits into the limit: what is done, and whether that does.

    Args:
        needed: seconds that it will take.
    """
    left = max(0.0, limit.ends_at - time.perf_counter())
    longer = f"; that takes about {duration(needed)}, but {duration(left)} are left"
    return (
        "--max-hours leaves no time for trials before the finals: nothing is tried but uniform "
        f"widths{longer if needed > left else ''}"
    )


NO_LIMIT = TimeLimit()
