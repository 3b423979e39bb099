"""Can the proxies be trusted? Their rank correlation with trained accuracy, with its interval.

>>> for trust in proxy_trust(records):
...     print(trust.name, trust.kendall, trust.n)
adaptive_bn Correlation(value=0.61, low=0.42, high=0.75) 38

Kendall's tau-b and Spearman's rho, both over the trials that were trained to one common rung; the
95 % intervals come from the percentile bootstrap over trials.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.record import TrialRecord

ENOUGH = 5
"""Fewer trials than this give no figure: the interval would span nearly everything."""
CONTROLS = ("flops", "params")
"""What any proxy has to beat: counting costs nothing and often does as well."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation in -1..1 and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Trust:
    """How well one proxy ranked the policies that were trained.

    ``note`` says why there is no figure when ``kendall`` and ``spearman`` are ``None``; ``n`` is
    the number of trials with both the proxy and the accuracy; ``control`` marks flops and params.
    """

    name: str
    control: bool
    rung: int
    n: int
    kendall: Correlation | None
    spearman: Correlation | None
    note: str = ""


def proxy_trust(records: Sequence[TrialRecord], seed: int = 0) -> list[Trust]:
    """Trust in every proxy and in the controls, at the top rung that enough trials reached.

    ``seed`` draws the bootstrap's resamples, so the same records give the same intervals.
    """
    rung = trust_rung(records)
    trained = _trained(records, rung)
    names = dict.fromkeys(name for r in records for name in r.proxies)
    proxies = [
        _trust(name, rung, [r.proxies.get(name, math.nan) for r in trained], trained, seed)
        for name in names
    ]
    controls = [
        _trust(name, rung, [getattr(r, name) for r in trained], trained, seed) for name in CONTROLS
    ]
    return proxies + controls


def trust_rung(records: Sequence[TrialRecord]) -> int:
    """The highest rung with enough trials, else the highest with any; 0 when none was trained."""
    reached = [r.rung for r in records]
    top = max(reached, default=0)
    enough = [k for k in range(1, top + 1) if sum(rung >= k for rung in reached) >= ENOUGH]
    return max(enough, default=top)


def noise_ceiling(records: Sequence[TrialRecord]) -> float | None:
    """The best correlation a perfect proxy could reach, given how much the seed alone moves.

    √(1 - variance between seeds of one policy / variance over all trials), from the policies that
    were trained with several seeds at the rung of `trust_rung`; ``None`` when there are none.
    """
    rung = trust_rung(records)
    trained = _trained(records, rung)
    by_policy: dict[str, dict[int, float]] = defaultdict(dict)
    for r in trained:
        by_policy[r.policy.key][r.seed] = r.accuracy[rung - 1]
    repeats = [list(seeds.values()) for seeds in by_policy.values() if len(seeds) > 1]
    total = np.var([r.accuracy[rung - 1] for r in trained], ddof=1) if len(trained) > 1 else 0.0
    if not repeats or total == 0.0:
        return None
    squares = sum(np.var(values) * len(values) for values in repeats)
    within = squares / sum(len(values) - 1 for values in repeats)
    return float(math.sqrt(max(0.0, 1.0 - within / total)))


def _trained(records: Sequence[TrialRecord], rung: int) -> list[TrialRecord]:
    reached = (r for r in records if r.rung >= max(rung, 1))
    return [r for r in reached if math.isfinite(r.accuracy[rung - 1])]


def _trust(
    name: str, rung: int, scores: Sequence[float], trained: Sequence[TrialRecord], seed: int
) -> Trust:
    pairs = [
        (score, r.accuracy[rung - 1])
        for score, r in zip(scores, trained, strict=True)
        if math.isfinite(score)
    ]
    control, n = name in CONTROLS, len(pairs)
    if n < ENOUGH:
        note = f"no figure: {n} of the {ENOUGH} trials it takes"
        return Trust(name, control, rung, n, None, None, note)
    score, accuracy = np.array(pairs, dtype=float).T
    for values, what in ((score, "scores"), (accuracy, "accuracies")):
        if np.all(values == values[0]):
            return Trust(name, control, rung, n, None, None, f"no figure: all {what} are equal")
    counts = _resamples(n, seed)
    return Trust(
        name,
        control,
        rung,
        n,
        _interval(kendall(score, accuracy, counts)),
        _interval(spearman(score, accuracy, counts)),
    )


def _resamples(n: int, seed: int) -> np.ndarray:
    """Row 0 counts every trial once, the others how often a bootstrap resample drew each."""
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.vstack([np.ones(n), draws])


def _interval(values: np.ndarray) -> Correlation:
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Correlation(float(values[0]), float(low), float(high))


def kendall(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of every resample at once.

    ``x`` and ``y`` are ``(n,)``; ``counts`` is ``(resamples, n)`` and says how often a resample
    holds each pair; returns ``(resamples,)``, ``nan`` where one side is constant.
    """
    sign_x, sign_y = (np.sign(v[:, None] - v[None, :]) for v in (x, y))

    def over_pairs(matrix: np.ndarray) -> np.ndarray:
        return np.einsum("bi,bi->b", counts @ matrix, counts)

    scale = np.sqrt(over_pairs(np.abs(sign_x)) * over_pairs(np.abs(sign_y)))
    return _ratio(over_pairs(sign_x * sign_y), scale)


def spearman(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman's rho of every resample at once; arguments and result as in `kendall`."""
    rank_x, rank_y = (_centred_ranks(v, counts) for v in (x, y))
    covariance = (counts * rank_x * rank_y).sum(axis=1)
    scale = np.sqrt((counts * rank_x**2).sum(axis=1) * (counts * rank_y**2).sum(axis=1))
    return _ratio(covariance, scale)


def _centred_ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average ranks inside each resample, less their mean."""
    below = (values[None, :] < values[:, None]) + 0.5 * (values[None, :] == values[:, None])
    return counts @ below.T - counts.sum(axis=1, keepdims=True) / 2


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 1e-9)
