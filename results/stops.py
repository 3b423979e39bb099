"""Which trials were stopped at which rung, and whether that was right.

>>> judged(records, eta=2.0, tolerance=7_000)
[Judged(rung=0, n=4, kept=1, front=0), ...]

What a stopped trial would have become is unknown. But some are explored: promoted although the rule
was against them, drawn from their seed, whatever their score. Those of a rung are a fair sample of
all that the rule was against there. They count for the *first* such rung; without exploration they
would not have come further.

When is a stop wrong? Every trial loses to some other in the end, and most stops are right even if
the proxy knows nothing. So the test is whether the rule itself, given the accuracy after the whole
training, would have promoted the trial at the top rung. That is strict for two reasons (trials
there were selected already, and one training seed decides) and lenient for one (the best half is
not the front). So beside it stand the same share of the promoted trials, which is equal where the
scores of a rung tell nothing, and how many are on the final front, where a stop costs a result.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from results.intervals import wilson
from results.pareto import finished, trial_front
from results.record import TrialRecord
from results.rules import at_rung, dominated, measurement, outdone


@dataclass(frozen=True, slots=True)
class Rung:
    """How many trials came to a rung, and how they left it.

    ``reached`` is the sum of all the others: ``promoted`` by the rule, ``explored`` against it;
    ``complete`` ended there because it is the top, ``running`` are there now.
    """

    rung: int
    reached: int
    promoted: int
    explored: int
    stopped: int
    failed: int
    complete: int
    running: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Trials that were trained to the top, by how they got there.

    Attributes:
        rung: the first rung where they were explored; ``None`` for those always promoted.
        n: how many there are, each policy once.
        kept: how many of them the rule would promote at the top rung.
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
    ends = [at_rung(r) for r in records]
    return [_rung(k, records, ends) for k in range(max([top, *ends]) + 1)] if records else []


def _rung(rung: int, records: Sequence[TrialRecord], ends: Sequence[int]) -> Rung:
    passed = [r for r, end in zip(records, ends, strict=True) if end > rung]
    states = [r.state for r, end in zip(records, ends, strict=True) if end == rung]
    explored = sum(rung in r.explored for r in passed)
    return Rung(
        rung,
        reached=len(passed) + len(states),
        promoted=len(passed) - explored,
        explored=explored,
        stopped=states.count("stopped"),
        failed=states.count("failed"),
        complete=states.count("complete"),
        running=states.count("running"),
    )


def judged(records: Sequence[TrialRecord], eta: float, tolerance: int = 0) -> list[Judged]:
    """One line for each rung where a trial at the top was explored first, and one for all others.

    Args:
        eta: of the rule: about one in ``eta`` is promoted.
        tolerance: of size, within which the rule takes two networks as equally large.
    """
    trained = once(finished(records))
    front = {r.candidate for r in trial_front(trained)}
    sizes = np.array([r.size for r in trained], dtype=np.int64)
    scores = np.array([r.val_accuracy for r in trained], dtype=np.float64)
    lines = []
    for rung in [*sorted({min(r.explored) for r in trained if r.explored}), None]:
        group = [r for r in trained if min(r.explored, default=None) == rung]
        on_front = sum(r.candidate in front for r in group)
        counts = (outdone(r.size, r.val_accuracy, sizes, scores, tolerance) for r in group)
        kept = sum(not dominated(better, peers, eta) for better, peers in counts)
        lines.append(Judged(rung, len(group), kept, on_front))
    return lines


def once(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """For each policy and criterion the trial that took it furthest.

    One that is proposed again is not measured again: counted twice, it would feign evidence.
    """
    furthest: dict[Hashable, TrialRecord] = {}
    for r in records:
        key = measurement(r)
        if _progress(r) > _progress(furthest.setdefault(key, r)):
            furthest[key] = r
    return list(furthest.values())


def _progress(record: TrialRecord) -> tuple[int, bool]:
    return record.rung, record.state != "stopped"
