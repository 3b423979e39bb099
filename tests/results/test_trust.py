"""Rank correlations and their bootstrap against SciPy, and when there is no figure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results import noise_ceiling, proxy_trust
from results.trust import kendall, spearman, trust_rung
from spaces import Policy

# Small integers make ties common, which is where rank correlations differ.
pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12)


@given(pairs, st.integers(0, 1000))
def test_weighted_correlations_equal_scipy_on_the_resample(
    values: list[tuple[int, int]], seed: int
) -> None:
    x, y = np.array(values, dtype=float).T
    draw = np.random.default_rng(seed).integers(len(x), size=len(x))
    counts = np.bincount(draw, minlength=len(x))[None, :]
    found = kendall(x, y, counts)[0], spearman(x, y, counts)[0]
    if np.ptp(x[draw]) == 0 or np.ptp(y[draw]) == 0:
        assert np.isnan(found).all()
    else:
        expected = (
            stats.kendalltau(x[draw], y[draw]).statistic,
            stats.spearmanr(x[draw], y[draw]).statistic,
        )
        assert found == pytest.approx(expected)


def test_a_perfect_proxy_and_its_opposite(record) -> None:
    trials = [
        record(i, (0.5 + 0.01 * i,), proxies={"good": float(i), "bad": -float(i)})
        for i in range(10)
    ]
    good, bad, *controls = proxy_trust(trials)
    assert (good.name, good.kendall.value, good.spearman.value) == ("good", 1.0, pytest.approx(1.0))
    assert (good.kendall.low, good.kendall.high) == (1.0, 1.0)
    assert (bad.kendall.value, bad.n, bad.control) == (-1.0, 10, False)
    assert [(c.name, c.control) for c in controls] == [("flops", True), ("params", True)]
    # `record` takes one flop away with every number, and adds one parameter.
    assert [c.kendall.value for c in controls] == [-1.0, 1.0]


def test_interval_holds_the_estimate_and_is_the_same_every_time(record) -> None:
    rng = np.random.default_rng(0)
    trials = [
        record(i, (0.5 + 0.01 * i,), proxies={"noisy": i + 8 * rng.normal()}) for i in range(24)
    ]
    noisy = proxy_trust(trials)[0]
    assert noisy.kendall.low < noisy.kendall.value < noisy.kendall.high
    assert -1 <= noisy.spearman.low < noisy.spearman.high <= 1
    assert proxy_trust(trials) == proxy_trust(trials)


def test_too_few_trials_give_no_figure(record) -> None:
    trials = [record(i, (0.5 + 0.01 * i,), proxies={"p": float(i)}) for i in range(4)]
    assert [(t.kendall, t.n) for t in proxy_trust(trials)] == [(None, 4)] * 3
    assert proxy_trust(trials)[0].note == "no figure: 4 of the 5 trials it takes"


def test_a_constant_score_gives_no_figure(record) -> None:
    trials = [record(i, (0.5 + 0.01 * i,), proxies={"p": 1.0}) for i in range(6)]
    assert proxy_trust(trials)[0].note == "no figure: all scores are equal"
    flat = [record(i, (0.5,), proxies={"p": float(i)}) for i in range(6)]
    assert proxy_trust(flat)[0].note == "no figure: all accuracies are equal"


def test_trials_without_the_proxy_do_not_count(record) -> None:
    trials = [record(i, (0.5 + 0.01 * i,), proxies={"p": float(i)}) for i in range(6)]
    trials += [
        record(6, (0.9,), proxies={"p": math.nan}),
        record(7, (0.9,), proxies={}),
        record(8, proxies={"p": 9.0}),
    ]
    assert proxy_trust(trials)[0].n == 6


def test_the_rung_is_the_highest_that_enough_trials_reached(record) -> None:
    low = [record(i, (0.5 + 0.01 * i,)) for i in range(5)]
    high = [record(10 + i, (0.1 * i, 0.9)) for i in range(4)]
    assert trust_rung(low + high) == 1
    assert trust_rung([*low, *high, record(20, (0.5, 0.5))]) == 2
    assert trust_rung(high) == 2
    assert trust_rung([record(1)]) == trust_rung([]) == 0
    # Rung 1 is read off the trials that climbed past it too.
    assert proxy_trust(low + high)[0].n == 9


def test_no_trial_at_all_still_names_the_controls() -> None:
    assert [(t.name, t.n) for t in proxy_trust([])] == [("flops", 0), ("params", 0)]


def test_noise_ceiling_by_hand(record) -> None:
    a, b = Policy({"stem": 4}), Policy({"stem": 8})
    trials = [
        record(0, (0.50,), policy=a, seed=0),
        record(1, (0.52,), policy=a, seed=1),
        record(2, (0.60,), policy=b, seed=0),
    ]
    # Within a: variance 2e-4 over its two seeds. Over all three: mean 0.54, squares 0.0056 / 2.
    assert noise_ceiling(trials) == pytest.approx(math.sqrt(1 - 2e-4 / 2.8e-3))


def test_no_repeats_no_noise_ceiling(record) -> None:
    assert noise_ceiling([record(i, (0.5 + 0.01 * i,)) for i in range(6)]) is None
    assert noise_ceiling([]) is None
