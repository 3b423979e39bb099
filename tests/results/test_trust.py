"""Rank correlations and their bootstrap against SciPy, and when there is no figure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results import TrialRecord, noise_ceiling, proxy_trust
from results.trust import kendall, spearman, trust_rung, trust_table
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


def test_params_measured_as_a_proxy_is_one_control_and_no_second_row(record) -> None:
    trials = [
        record(i, (0.5 + 0.01 * i,), proxies={"params": 7.0, "good": float(i)}) for i in range(6)
    ]
    found = proxy_trust(trials)
    assert [(t.name, t.control) for t in found] == [
        ("good", False),
        ("flops", True),
        ("params", True),
    ]
    assert found[-1].kendall.value == 1.0  # of the record's own count, which rises


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
    trials = [record(0, (0.50,), policy=a, seed=0), record(1, (0.60,), policy=b, seed=0)]
    again = record(0, (math.nan, 0.9), policy=b, seed=1)  # not measured at this rung
    repeats = [record(0, (0.52,), policy=a, seed=1), again]
    ceiling = noise_ceiling(trials, repeats)
    # Within a: variance 2e-4 over its two seeds. Between the trials: 0.01 / 2.
    reliability = 1 - 2e-4 / 5e-3
    assert ceiling is not None
    assert ceiling.policies == 1
    assert ceiling.deviation == pytest.approx(math.sqrt(2e-4))
    assert ceiling.reliability.value == pytest.approx(reliability)
    assert ceiling.spearman.value == pytest.approx(math.sqrt(reliability))
    assert ceiling.kendall.value == pytest.approx(2 / math.pi * math.asin(math.sqrt(reliability)))
    assert math.isnan(ceiling.spearman.low)
    # Trials of one policy with several seeds are as good as repeats.
    assert noise_ceiling([*trials, repeats[0]]) is not None


def test_several_seeds_are_pooled_by_their_degrees_of_freedom(record) -> None:
    a, b = Policy({"stem": 4}), Policy({"stem": 8})
    trials = [record(0, (0.50,), policy=a, seed=0), record(1, (0.70,), policy=b, seed=0)]
    repeats = [
        *(record(0, (x,), policy=a, seed=s) for s, x in ((1, 0.53), (2, 0.56))),
        record(1, (0.72,), policy=b, seed=1),
    ]
    # Squares about the means: 0.0018 with two degrees of freedom, 0.0002 with one; total 0.02.
    ceiling = noise_ceiling(trials, repeats)
    assert ceiling is not None
    assert ceiling.reliability.value == pytest.approx(1 - (0.0020 / 3) / 0.02)


def test_noise_beyond_every_difference_leaves_nothing_to_find(record) -> None:
    trials = [record(i, (0.5 + 0.001 * i,)) for i in range(6)]
    repeats = [replace(r, seed=1, accuracy=(r.val_accuracy + 0.2,)) for r in trials[:2]]
    ceiling = noise_ceiling(trials, repeats)
    assert ceiling is not None
    assert (ceiling.reliability.value, ceiling.kendall.value) == (0.0, 0.0)


def test_no_repeats_no_noise_ceiling(record) -> None:
    assert noise_ceiling([record(i, (0.5 + 0.01 * i,)) for i in range(6)]) is None
    assert noise_ceiling([]) is None
    same = [record(i, (0.5,)) for i in range(6)]
    assert noise_ceiling(same, [replace(same[0], seed=1, accuracy=(0.6,))]) is None


def simulated(record, n: int, noise: float, repeated: int):
    """Normal truth with unit variance (in points), normal noise, and the truth as a proxy."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=n)
    measured = 0.5 + 0.01 * (truth + noise * rng.normal(size=(2, n)))
    trials = [record(i, (measured[0, i],), proxies={"truth": truth[i]}) for i in range(n)]
    repeats = [replace(r, seed=1, accuracy=(measured[1, r.number],)) for r in trials[:repeated]]
    return trials, repeats


def test_a_perfect_proxy_meets_the_ceiling(record) -> None:
    trials, repeats = simulated(record, 300, noise=0.75, repeated=300)
    ceiling, perfect = noise_ceiling(trials, repeats), proxy_trust(trials)[0]
    assert ceiling is not None
    # True reliability: 1 / (1 + 0.75²) = 0.64, so 0.8 and 2/π asin 0.8 = 0.590.
    assert ceiling.reliability.low < 0.64 < ceiling.reliability.high
    assert perfect.kendall.value == pytest.approx(ceiling.kendall.value, abs=0.05)
    assert perfect.spearman.value == pytest.approx(ceiling.spearman.value, abs=0.06)
    assert ceiling.kendall.low < 0.590 < ceiling.kendall.high


def test_the_ceiling_has_an_interval_from_five_repeats_on(record) -> None:
    for repeated, given_ in ((4, False), (5, True)):
        trials, repeats = simulated(record, 30, noise=0.5, repeated=repeated)
        ceiling = noise_ceiling(trials, repeats)
        assert ceiling is not None
        assert math.isfinite(ceiling.kendall.low) is given_
        assert not given_ or ceiling.kendall.low <= ceiling.kendall.value <= ceiling.kendall.high


def selected(record, n: int) -> list[TrialRecord]:
    """A weak proxy whose lower half is stopped at rung 0, but for one in four, explored."""
    rng = np.random.default_rng(5)
    truth = rng.normal(size=n)
    score = truth + 1.5 * rng.normal(size=n)
    drawn = rng.random(n) < 0.25
    trials = []
    for i in range(n):
        proxies, loses = {"p": score[i]}, score[i] < 0
        if loses and not drawn[i]:
            trials.append(record(i, proxies=proxies, state="stopped"))
        else:
            explored = (0,) if loses else ()
            trials.append(record(i, (0.5 + 0.01 * truth[i],), proxies=proxies, explored=explored))
    return trials


def test_exploration_undoes_the_selection(record) -> None:
    n = 1200
    trials = selected(record, n)
    rng = np.random.default_rng(5)
    truth = rng.normal(size=n)
    everybody = stats.kendalltau(truth + 1.5 * rng.normal(size=n), truth).statistic
    found = proxy_trust(trials)[0]
    explored = sum(bool(r.explored) for r in trials)
    assert found.explored == explored
    assert found.kendall_unselected is not None
    fair = found.kendall_unselected
    assert abs(fair.value - everybody) < abs(found.kendall.value - everybody)
    assert fair.low < everybody < fair.high


def test_the_weights_are_those_of_everybody_who_was_stopped(record) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, 12))
    trials = [
        record(
            i,
            (0.5 + 0.01 * values[0, i],),
            proxies={"p": values[1, i]},
            explored=(0,) if i < 6 else (),
        )
        for i in range(12)
    ]
    stopped = [record(20 + i, proxies={"p": 0.0}, state="stopped") for i in range(12)]
    found = proxy_trust([*trials, *stopped])[0]
    # 12 were stopped and 6 explored, so each of these stands for 3: as if copied.
    x, y = (np.concatenate([np.repeat(v[:6], 3), v[6:]]) for v in values)
    assert found.kendall_unselected.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found.spearman_unselected.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.explored == 6


@pytest.fixture
def two_rungs(record) -> list[TrialRecord]:
    """Twelve at rung 2: 0-3 explored at rung 0, 4-5 at rung 1; 8 and 2 stopped."""
    rng = np.random.default_rng(1)
    first = {**dict.fromkeys(range(3), (0,)), 3: (0, 1), 4: (1,), 5: (1,)}
    trained = [
        record(i, (0.4, x), proxies={"p": y}, explored=first.get(i, ()))
        for i, (x, y) in enumerate(rng.random(size=(12, 2)))
    ]
    accuracy: list[tuple[float, ...]] = [()] * 8 + [(0.3,)] * 2
    return trained + [
        record(20 + i, a, proxies={"p": 0.0}, state="stopped") for i, a in enumerate(accuracy)
    ]


def test_the_weights_are_those_of_the_first_rung_against_each(two_rungs) -> None:
    found = proxy_trust(two_rungs)[0]
    # 8 stopped for the 4 of rung 0, and 2 for the 2 of rung 1: weights 1 + 8/4 and 1 + 2/2.
    times = [3, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1]
    x = np.repeat([r.proxies["p"] for r in two_rungs[:12]], times)
    y = np.repeat([r.val_accuracy for r in two_rungs[:12]], times)
    assert (found.rung, found.n, found.explored) == (2, 12, 6)
    assert found.kendall_unselected.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found.spearman_unselected.value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_rung_that_explored_none_gives_no_unselected_figure(two_rungs) -> None:
    promoted = [replace(r, explored=()) if r.explored == (1,) else r for r in two_rungs]
    more = [replace(r, explored=(0,)) if r.number in (6, 7) else r for r in promoted]
    found = proxy_trust(more)[0]
    assert (found.explored, found.kendall_unselected, found.spearman_unselected) == (6, None, None)
    # The six of rung 0 are enough where rung 1 stopped nobody.
    assert proxy_trust([r for r in more if r.rung != 1])[0].kendall_unselected is not None
    # Those who passed a rung that stopped nobody stand for themselves alone.
    alone = [r for r in two_rungs if r.rung != 1]
    times = [3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1]
    x = np.repeat([r.proxies["p"] for r in two_rungs[:12]], times)
    y = np.repeat([r.val_accuracy for r in two_rungs[:12]], times)
    fair = proxy_trust(alone)[0].kendall_unselected
    assert fair.value == pytest.approx(stats.kendalltau(x, y).statistic)


def test_too_few_explored_trials_give_no_unselected_figure(record) -> None:
    trials = [
        record(i, (0.5 + 0.01 * i,), proxies={"p": float(i)}, explored=(0,) if i < 4 else ())
        for i in range(12)
    ]
    stopped = record(20, proxies={"p": 0.0}, state="stopped")
    assert proxy_trust([*trials, stopped])[0].kendall_unselected is None
    # Where nobody was stopped below, nobody was selected.
    assert proxy_trust(trials)[0].kendall_unselected == proxy_trust(trials)[0].kendall
    # Exploration at the common rung itself comes too late to matter.
    late = [replace(r, explored=(1,)) for r in trials]
    assert proxy_trust([*late, stopped])[0].explored == 0


def test_a_policy_that_was_proposed_again_is_no_evidence(record) -> None:
    trials = [record(i, (0.5 + 0.01 * (i % 4),), proxies={"p": float(i)}) for i in range(8)]
    twins = [replace(r, number=r.number + 10) for r in trials]
    assert proxy_trust([*trials, *twins]) == proxy_trust(trials)


def test_the_table_has_the_same_columns_whatever_there_is(record) -> None:
    trials, repeats = simulated(record, 30, noise=0.5, repeated=6)
    full = trust_table(trials, repeats)
    assert list(full["name"]) == ["truth", "flops", "params"]
    assert list(full["control"]) == [False, True, True]
    for table in (full, trust_table(trials), trust_table(trials[:3]), trust_table([])):
        assert list(table.columns) == list(full.columns)
    truth = proxy_trust(trials)[0]
    assert full.loc[0, "kendall_low"] == truth.kendall.low
    assert full.loc[0, "n"] == 30
    assert full["ceiling_kendall"].nunique() == 1
    assert trust_table(trials)["ceiling_kendall"].isna().all()
    assert trust_table(trials[:3])["kendall"].isna().all()
