"""Can the proxies be trusted? Their rank correlation with trained accuracy, with its interval.

>>> for trust in proxy_trust(records):
...     print(trust.name, trust.kendall, trust.n)
adaptive_bn Correlation(value=0.61, low=0.42, high=0.75) 38

Kendall's tau-b and Spearman's rho, both over the trials that were trained to one common rung, each
policy once; the 95 % intervals come from the percentile bootstrap over trials.

Two things stand between these figures and what a proxy is worth. Training is noisy, so even a
perfect proxy stays below a ceiling (`noise_ceiling`). And proxies selected which trials were
trained. But the explored ones among these were promoted whatever their score: those of one first
such rung are a fair sample of the trials stopped there, and can stand for them
(`Trust.kendall_unselected`).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from results.metric import ACCURACY, MetricInfo
from results.record import Candidate, TrialRecord
from results.stops import once

ENOUGH = 5
"""Fewer trials than this give no figure: the interval would span nearly everything."""
CONTROLS = ("flops", "params")
"""What any proxy has to beat: counting costs nothing and often does as well."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation in -1..1 and the ends of its 95 % bootstrap interval.

    ``low`` and ``high`` are ``nan`` where there is too little to draw an interval from.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Trust:
    """How well one proxy ranked the policies that were trained.

    Attributes:
        name: of the proxy or control.
        control: whether it is ``flops`` or ``params``.
        rung: whose accuracy it is compared with.
        n: policies with both the score and the accuracy.
        kendall, spearman: over these; ``None`` where ``note`` says why.
        explored: how many of the ``n`` came to the rung only because they were explored.
        kendall_unselected, spearman_unselected: with each of these standing for its share of those
            stopped at the first rung that was against it; ``None`` with fewer than `ENOUGH` of
            them, or none of a rung that stopped some, unless nothing was stopped.
        note: why there is no figure at all.
    """

    name: str
    control: bool
    rung: int
    n: int
    kendall: Correlation | None
    spearman: Correlation | None
    explored: int = 0
    kendall_unselected: Correlation | None = None
    spearman_unselected: Correlation | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a proxy that knew every policy's true accuracy would reach, given the noise of training.

    Attributes:
        policies: how many were trained with several seeds.
        deviation: standard deviation between seeds of one policy, of scores.
        reliability: share of the variance of accuracy that is not that noise, 0..1.
        kendall: 2/π · asin(√reliability): Greiner's relation, for normal scores and errors.
        spearman: √reliability, which is Pearson's correlation of true and measured accuracy; for
            normal ones Spearman's is less than 0.02 below it.
    """

    policies: int
    deviation: float
    reliability: Correlation
    kendall: Correlation
    spearman: Correlation


def trust_table(
    records: Sequence[TrialRecord],
    repeats: Sequence[TrialRecord] = (),
    metric: MetricInfo = ACCURACY,
) -> pd.DataFrame:
    """One row a proxy and control, figures that cannot be given being ``nan``.

    Fields are those of `Trust` and `Ceiling`; the ceiling is the same in every row. ``_low`` and
    ``_high`` are the ends of 95 % intervals.
    """
    ceiling = noise_ceiling(records, repeats)
    return pd.DataFrame([_row(trust, ceiling) for trust in proxy_trust(records, metric=metric)])


def _row(t: Trust, ceiling: Ceiling | None) -> dict[str, Any]:
    return {
        **{name: getattr(t, name) for name in ("name", "control", "rung", "n")},
        **_flat("kendall", t.kendall),
        **_flat("spearman", t.spearman),
        "n_by_coin": t.explored,  # for one more version
        "n_explored": t.explored,
        **_flat("kendall_unselected", t.kendall_unselected),
        **_flat("spearman_unselected", t.spearman_unselected),
        "ceiling_policies": ceiling.policies if ceiling else 0,
        **_flat("ceiling_kendall", ceiling.kendall if ceiling else None),
        **_flat("ceiling_spearman", ceiling.spearman if ceiling else None),
        "note": t.note,
    }


def _flat(name: str, c: Correlation | None) -> dict[str, float]:
    ends = (c.value, c.low, c.high) if c else (math.nan, math.nan, math.nan)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def proxy_trust(
    records: Sequence[TrialRecord], seed: int = 0, metric: MetricInfo = ACCURACY
) -> list[Trust]:
    """Trust in every proxy and in the controls, at the top rung that enough trials reached.

    ``seed`` draws the bootstrap's resamples, so the same records give the same intervals.
    """
    rung = trust_rung(records)
    trained = trained_to(records, rung)
    stopped = Counter(r.rung for r in once(records) if r.state == "stopped" and r.rung < rung)
    names = dict.fromkeys(n for r in records for n in r.proxies if n not in CONTROLS)
    return [_trust(name, rung, trained, stopped, seed, metric) for name in (*names, *CONTROLS)]


def score_of(record: TrialRecord, name: str) -> float:
    """A proxy's or control's value of a trial; ``nan`` where it has none."""
    if name in CONTROLS:
        return float(getattr(record, name))
    return record.proxies.get(name, math.nan)


def explored_below(record: TrialRecord, rung: int) -> bool:
    """Whether a trial came to this rung only because it was explored at a lower one."""
    return min(record.explored, default=rung) < rung


def trust_rung(records: Sequence[TrialRecord]) -> int:
    """The highest rung with enough trials, else the highest with any; 0 when none was trained."""
    reached = [r.rung for r in records]
    top = max(reached, default=0)
    enough = [k for k in range(1, top + 1) if sum(rung >= k for rung in reached) >= ENOUGH]
    return max(enough, default=top)


def noise_ceiling(
    records: Sequence[TrialRecord], repeats: Sequence[TrialRecord] = (), seed: int = 0
) -> Ceiling | None:
    """How far noise lets any score correlate with accuracy; ``None`` when that was not measured.

    reliability = 1 - variance between seeds of one policy / variance over trials, at the rung of
    `trust_rung`. The first comes from the policies trained with several seeds under one criterion
    (trials and ``repeats`` together), the second from the trials, which hold the noise of one seed
    each. The interval is a percentile bootstrap over policies, given from `ENOUGH` repeated ones.
    """
    rung = trust_rung(records)
    trained = trained_to(records, rung)
    by_policy: dict[Candidate, dict[int, float]] = defaultdict(dict)
    for r in [*trained, *trained_to(repeats, rung)]:
        by_policy[r.candidate].setdefault(r.seed, r.accuracy[rung - 1])
    groups = [list(seeds.values()) for seeds in by_policy.values() if len(seeds) > 1]
    accuracy = np.array([r.accuracy[rung - 1] for r in trained])
    if not groups or len(accuracy) < 2 or np.ptp(accuracy) == 0.0:
        return None
    squares = np.array([np.var(values) * len(values) for values in groups])
    degrees = np.array([len(values) - 1.0 for values in groups])
    counts, draws = _resamples(len(accuracy), seed), _resamples(len(groups), seed + 1)
    within = (draws @ squares) / (draws @ degrees)
    centred, n = accuracy - accuracy.mean(), counts.sum(axis=1)
    variance = (counts @ centred**2 - (counts @ centred) ** 2 / n) / (n - 1)
    reliability = np.clip(1 - _ratio(within, variance), 0.0, 1.0)
    root = np.sqrt(reliability)
    enough = len(groups) >= ENOUGH
    return Ceiling(
        len(groups),
        float(np.sqrt(within[0])),
        _interval(reliability, enough),
        _interval(2 / np.pi * np.arcsin(root), enough),
        _interval(root, enough),
    )


def trained_to(records: Sequence[TrialRecord], rung: int) -> list[TrialRecord]:
    """The trials with an accuracy at a rung above 0, each policy once."""
    reached = (r for r in records if r.rung >= max(rung, 1))
    return once([r for r in reached if math.isfinite(r.accuracy[rung - 1])])


def _trust(
    name: str,
    rung: int,
    trained: Sequence[TrialRecord],
    stopped: Mapping[int, int],
    seed: int,
    metric: MetricInfo,
) -> Trust:
    """``stopped`` counts the policies that were stopped at each rung below ``rung``."""
    scored = [r for r in trained if math.isfinite(score_of(r, name))]
    control, n, note = name in CONTROLS, len(scored), ""
    score = np.array([score_of(r, name) for r in scored])
    accuracy = np.array([r.accuracy[rung - 1] for r in scored])
    if n < ENOUGH:
        note = f"no figure: {n} of the {ENOUGH} trials it takes"
    elif np.all(score == score[0]):
        note = "no figure: all scores are equal"
    elif np.all(accuracy == accuracy[0]):
        note = f"no figure: all {metric.values} are equal"
    if note:
        return Trust(name, control, rung, n, None, None, note=note)

    def both(counts: np.ndarray) -> tuple[Correlation, Correlation]:
        tau, rho = (coefficient(score, accuracy, counts) for coefficient in (kendall, spearman))
        return _interval(tau), _interval(rho)

    counts = _resamples(n, seed)
    first = [min(r.explored, default=rung) for r in scored]
    explored = Counter(k for k in first if k < rung)
    plain = both(counts)
    fair: tuple[Correlation, Correlation] | tuple[None, None] = (None, None)
    if not stopped:
        fair = plain
    elif explored.total() >= ENOUGH and stopped.keys() <= explored.keys():
        shares = {k: stopped.get(k, 0) / n for k, n in explored.items()}
        fair = both(counts * np.array([1 + shares.get(k, 0.0) for k in first]))
    return Trust(name, control, rung, n, *plain, explored.total(), *fair)


def _resamples(n: int, seed: int) -> np.ndarray:
    """Row 0 counts every trial once, the others how often a bootstrap resample drew each."""
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.vstack([np.ones(n), draws])


def _interval(values: np.ndarray, enough: bool = True) -> Correlation:
    if not enough:
        return Correlation(float(values[0]), math.nan, math.nan)
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Correlation(float(values[0]), float(low), float(high))


def kendall(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of every resample at once.

    ``x`` and ``y`` are ``(n,)``; ``counts`` is ``(resamples, n)`` and says how often a resample
    holds each pair, or with what weight; returns ``(resamples,)``, ``nan`` where one side is
    constant.
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
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 1e-12)
