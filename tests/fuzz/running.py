"""Many checks one after the other: what failed is told by seed, and the rest goes on."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

EVERY = 25
"""After so many comes a line that says how far it is."""


@dataclass
class Tally:
    """What came of the seeds so far.

    Attributes:
        came: how often each word came.
        failures: seed → what it was and what went wrong, in a few lines.
    """

    came: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """In one line.

        >>> Tally(Counter(searched=3), {7: "..."}).line
        '3 searched, 1 failed (seeds 7)'
        """
        words = [f"{count} {word}" for word, count in self.came.most_common()]
        if self.failures:
            seeds = " ".join(map(str, self.failures))
            words.append(f"{len(self.failures)} failed (seeds {seeds})")
        return ", ".join(words)


class Subject(Protocol):
    """What is drawn by a seed and checked.

    Attributes:
        name: what they are together, in a word or two.
    """

    name: str

    def check(self, seed: int) -> str:
        """What came of it in a word; raises what should not have come."""

    def describe(self, seed: int) -> str:
        """What it is, so that a person can repeat it."""


def tally(subject: Subject, seeds: range, say: Callable[[str], None] = lambda _: None) -> Tally:
    """Check every seed; a failure is kept and the rest goes on."""
    found = Tally()
    for done, seed in enumerate(seeds, start=1):
        try:
            found.came[subject.check(seed)] += 1
        except Exception as error:
            found.failures[seed] = f"{subject.describe(seed)}\n{told(error)}"
            say(f"seed {seed} failed: {found.failures[seed]}")
        if done % EVERY == 0:
            say(f"{done} of {len(seeds)} {subject.name}: {found.line}")
    return found


def told(error: Exception, lines: int = 6) -> str:
    """The error and the last places it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-lines:]
    places = "".join(f"    {f.filename}:{f.lineno} {f.line}\n" for f in frames)
    return f"{places}  {type(error).__name__}: {error}"
