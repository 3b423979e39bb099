"""Who was stopped at which rung, and whether rightly.

>>> for rung in rungs(records):
...     print(rung.rung, rung.reached, rung.stopped)
0 48 22
>>> judged(records, eta=2.0, tolerance=7_000)
[Judged(rung=0, n=4, kept=1, front=0), ...]

A trial that was stopped cannot be asked what it would have become. But a coin lets some climb to
the top whose rule would have stopped them, and it is drawn from a trial's seed, whatever its score:
those of a rung are a fair sample of all that the rule would have stopped there. They count for the
*first* rung whose rule was against them, because without the coin they had not come further.

What is a wrong stop? Every trial loses to some other in the end, and most are stopped rightly even
if the proxy knows nothing. So it is asked whether the rule itself, seeing the trial after the whole
training, would have let it pass: whether at the top rung it is among the best ``ceil(n / eta)`` of
its ``n`` peers, the trials there with at most its flops, itself among them. That is strict for two
reasons (those at the top were chosen already, and the seed of one training decides), and lenient
for one (the best half is not the front); so it stands beside the same share of those who climbed on
their merit, and beside how many of the sample were on the final front, where a stop costs a result.
A rung that tells nothing gives both the same share.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from results.intervals import wilson
from results.pareto import finished, trial_front
from results.record import TrialRecord
from results.rules import at_rung, dominated, measurement, outdone


@dataclass(frozen=True, slots=True)
class Rung:
    """How many trials came to a rung, and how they left it.

    ``reached`` is the sum of all the others: ``merit`` and ``coin`` climbed on, ``complete`` ended
    there because it is the top, ``running`` are there now.
    """

    rung: int
    reached: int
    merit: int
    coin: int
    stopped: int
    failed: int
    complete: int
    running: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Trials that were trained to the top, by how they came past a rung.

    Attributes:
        rung: the rung whose rule was against them; ``None`` for those that no rule was against.
        n: how many there are, each policy once.
        kept: how many of them the rule would keep at the top rung.
        front: how many of them are on the final front.
    """

    rung: int | None
    n: int
    kept: int
    front: int

    @property
    def share(self) -> float:
        """``kept`` over ``n``; ``nan`` when there are none."""
        return self.kept / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.kept, self.n)


def rungs(records: Sequence[TrialRecord], top: int = 0) -> list[Rung]:
    """One line a rung from 0 to the highest that a trial reached, at least to ``top``."""
    places = [at_rung(r) for r in records]
    last = max([top, *places])
    return [_rung(k, records, places) for k in range(last + 1)] if records else []


def _rung(rung: int, records: Sequence[TrialRecord], places: Sequence[int]) -> Rung:
    passed = [r for r, place in zip(records, places, strict=True) if place > rung]
    states = [r.state for r, place in zip(records, places, strict=True) if place == rung]
    coin = sum(rung in r.explored for r in passed)
    return Rung(
        rung,
        reached=len(passed) + len(states),
        merit=len(passed) - coin,
        coin=coin,
        stopped=states.count("stopped"),
        failed=states.count("failed"),
        complete=states.count("complete"),
        running=states.count("running"),
    )


def judged(records: Sequence[TrialRecord], eta: float, tolerance: int = 0) -> list[Judged]:
    """One line for each rung that a trial at the top passed by coin, and one for all others.

    Args:
        eta: of the rule: one in ``eta`` climbs.
        tolerance: flops within which the rule takes two networks as equally large.
    """
    trained = once(finished(records))
    front = {r.candidate for r in trial_front(trained)}
    keeps = partial(_kept, trained, eta, tolerance)
    first = [min(r.explored, default=None) for r in trained]
    found = []
    for rung in [*sorted({k for k in first if k is not None}), None]:
        group = [r for r, k in zip(trained, first, strict=True) if k == rung]
        found.append(Judged(rung, len(group), len(keeps(group)), _among(group, front)))
    return found


def would_be_kept(
    records: Sequence[TrialRecord], eta: float, tolerance: int = 0
) -> list[TrialRecord]:
    """The trials trained to the top that are among the best ``ceil(n / eta)`` of their peers."""
    trained = once(finished(records))
    return _kept(trained, eta, tolerance, trained)


def once(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Each policy under each criterion with the trial that took it furthest.

    One that is proposed again is not measured again, so counting it twice would feign evidence.
    """
    found: dict[Hashable, TrialRecord] = {}
    for r in records:
        key = measurement(r)
        if _progress(r) > _progress(found.setdefault(key, r)):
            found[key] = r
    return list(found.values())


def _progress(record: TrialRecord) -> tuple[int, bool]:
    return record.rung, record.state != "stopped"


def _kept(
    trained: Sequence[TrialRecord], eta: float, tolerance: int, which: Sequence[TrialRecord]
) -> list[TrialRecord]:
    flops = np.array([r.flops for r in trained], dtype=np.int64)
    scores = np.array([r.val_accuracy for r in trained], dtype=np.float64)
    counted = ((r, outdone(r.flops, r.val_accuracy, flops, scores, tolerance)) for r in which)
    return [r for r, (better, peers) in counted if not dominated(better, peers, eta)]


def _among(group: Sequence[TrialRecord], candidates: Collection[object]) -> int:
    return sum(r.candidate in candidates for r in group)
