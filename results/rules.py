"""The rules that decide a trial's climb, and by which a reader judges those decisions again.

>>> dominated(*outdone(50, 0.80, flops=np.array([50, 40]), scores=np.array([0.90, 0.85])), eta=2)
True

Of trials that stand at one rung, a trial's *peers* are those of at most its FLOPs, itself among
them. Of ``n`` peers the best ``ceil(n / eta)`` climb on.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np

from results.record import TrialRecord

TOLERANCE = 0.01
"""Share of the unpruned network's flops within which two policies count as equally large."""


def tolerance(full_flops: int | None, share: float | None = TOLERANCE) -> int:
    """The same in flops; for a run that says neither of the two, too."""
    return int((share or TOLERANCE) * (full_flops or 0))


def outdone(
    flops_of_it: int, score: float, flops: np.ndarray, scores: np.ndarray, tolerance: int = 0
) -> tuple[int, int]:
    """How many of its peers score strictly better, and how many peers there are.

    Args:
        flops_of_it, score: of the trial that is judged; a score of nan loses to every number.
        flops, scores: of all that stand at the rung, of one length; whether the trial is among them
            is up to the caller, who must then add it to the peers.
    """
    peers = scores[flops <= flops_of_it + tolerance]
    better = ~np.isnan(peers) & ~(peers <= score)
    return int(better.sum()), len(peers)


def dominated(better: int, peers: int, eta: float) -> bool:
    """Whether a trial with so many better peers, of so many with itself, is not to climb on."""
    return better >= math.ceil(peers / eta)


def next_rung(record: TrialRecord) -> int:
    """The rung that a trial has still to be judged at: as many as have judged it so far."""
    return record.rung + bool(record.proxies or record.accuracy)


def at_rung(record: TrialRecord) -> int:
    """The rung where a trial stopped, failed, ended, or is being measured."""
    return record.rung if record.state in ("stopped", "complete") else next_rung(record)


def measurement(record: TrialRecord) -> Hashable:
    """Equal for trials that are measured alike, so that what one has need not be measured again."""
    return record.candidate, record.seed, record.mode
