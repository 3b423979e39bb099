"""The rules that promote trials from rung to rung, and by which the report reviews them.

>>> dominated(*outdone(50, 0.80, flops=np.array([50, 40]), scores=np.array([0.90, 0.85])), eta=2)
True

A trial's *peers* are the trials at its rung with at most its FLOPs, itself included. Of ``n`` peers
the best ``ceil(n / eta)`` are promoted.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np

from results.record import TrialRecord

TOLERANCE = 0.01
"""Share of the unpruned network's flops within which two policies count as equally large."""


def tolerance(full_flops: int | None, share: float | None = TOLERANCE) -> int:
    """The same in flops, also for a run that says neither of the two."""
    return int((share or TOLERANCE) * (full_flops or 0))


def outdone(
    own_flops: int, score: float, flops: np.ndarray, scores: np.ndarray, tolerance: int = 0
) -> tuple[int, int]:
    """How many of its peers score strictly better, and how many peers there are.

    Args:
        own_flops, score: of the trial that is judged; a score of nan loses to every number.
        flops, scores: of all trials at the rung, of one length. A caller that leaves out the trial
            itself must add it to the peers.
    """
    peers = scores[flops <= own_flops + tolerance]
    better = ~np.isnan(peers) & ~(peers <= score)
    return int(better.sum()), len(peers)


def dominated(better: int, peers: int, eta: float) -> bool:
    """Whether the rule is against a trial with so many better peers, of so many with itself."""
    return better >= math.ceil(peers / eta)


def next_rung(record: TrialRecord) -> int:
    """The next rung to judge a trial: its number is that of the rungs which have judged it."""
    return record.rung + bool(record.proxies or record.accuracy)


def at_rung(record: TrialRecord) -> int:
    """The rung where a trial was stopped, failed or completed, or is being measured."""
    return record.rung if record.state in ("stopped", "complete") else next_rung(record)


def measurement(record: TrialRecord) -> Hashable:
    """A key that trials have in common if one of them need not be measured again."""
    return record.candidate, record.seed, record.mode
