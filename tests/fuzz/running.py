"""Many checks one after the other: what failed is told by seed, and the rest goes on."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


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


def tally(
    check: Callable[[int], str],
    describe: Callable[[int], str],
    seeds: range,
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Check every seed; ``describe`` says what a seed is where it fails."""
    found = Tally()
    for seed in seeds:
        try:
            found.came[check(seed)] += 1
        except Exception as error:
            found.failures[seed] = f"{describe(seed)}\n{told(error)}"
            say(f"seed {seed} failed: {found.failures[seed]}")
        if (seed + 1) % 25 == 0:
            say(f"{seed + 1 - seeds.start} of {len(seeds)}: {found.line}")
    return found


def told(error: Exception, lines: int = 6) -> str:
    """The error and the last places it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-lines:]
    places = "".join(f"    {f.filename}:{f.lineno} {f.line}\n" for f in frames)
    return f"{places}  {type(error).__name__}: {error}"
