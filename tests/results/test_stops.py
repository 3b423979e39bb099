"""Rungs counted by hand, and wrong stops by the definition in `results.stops`."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results import TrialRecord
from results.intervals import half_width, wilson
from results.stops import judged, once, rungs
from spaces import Policy

TOP = 2


def trial(number: int, state: str, measured: int, explored: tuple[int, ...] = ()) -> TrialRecord:
    """A trial with ``measured`` rungs behind it, rung 0 among them."""
    return TrialRecord(
        number,
        Policy({"a": 1 + number}),
        "tpe",
        flops=500,
        flops_fraction=0.5,
        params=10,
        proxies={"p": 0.1} if measured else {},
        accuracy=(0.5,) * (measured - 1),
        explored=explored,
        state=state,  # type: ignore[arg-type]
    )


@st.composite
def trials(draw: st.DrawFn) -> TrialRecord:
    """Any trial that a search with two trained rungs can leave."""
    number, state = draw(st.integers(0, 99)), draw(st.sampled_from(["ended", "failed", "running"]))
    behind = draw(st.integers(0, TOP if state != "ended" else TOP + 1))
    if state == "ended":
        behind = max(behind, 1)
        state = "complete" if behind == TOP + 1 else "stopped"
    climbed = behind - (state in ("stopped", "complete"))
    explored = tuple(k for k in range(climbed) if draw(st.booleans()))
    return trial(number, state, behind, explored)


@given(st.lists(trials(), max_size=20))
def test_everybody_who_reaches_a_rung_leaves_it_in_one_way(records: list[TrialRecord]) -> None:
    lines = rungs(records, TOP)
    for line in lines:
        ways = (
            line.promoted,
            line.explored,
            line.stopped,
            line.failed,
            line.complete,
            line.running,
        )
        assert min(ways) >= 0
        assert line.reached == sum(ways)
    for low, high in pairwise(lines):
        assert high.reached == low.promoted + low.explored
    if records:
        assert lines[0].reached == len(records)
        assert sum(line.stopped for line in lines) == sum(r.state == "stopped" for r in records)


def test_rungs_by_hand() -> None:
    records = [
        trial(0, "complete", 3),
        trial(1, "complete", 3, explored=(0, 1)),
        trial(2, "stopped", 1),
        trial(3, "stopped", 2, explored=(0,)),
        trial(4, "failed", 0),
        trial(5, "failed", 2),
        trial(6, "running", 1),
    ]
    # 0: 2 stopped, 4 failed; 1 and 3 explored, 0, 5 and 6 promoted.
    # 1: 3 stopped, 6 runs; 1 explored, 0 and 5 promoted. 2: 5 failed, 0 and 1 complete.
    assert [
        (r.reached, r.promoted, r.explored, r.stopped, r.failed, r.running) for r in rungs(records)
    ] == [
        (7, 3, 2, 1, 1, 0),
        (5, 2, 1, 1, 0, 1),
        (3, 0, 0, 0, 1, 0),
    ]
    assert [r.complete for r in rungs(records)] == [0, 0, 2]


def test_no_trials_no_rungs_and_nothing_judged() -> None:
    assert rungs([], TOP) == []
    (line,) = judged([], eta=2.0)
    assert (line.rung, line.n, line.interval) == (None, 0, (0.0, 1.0))
    assert math.isnan(line.share)


def test_rungs_are_there_before_anybody_has_reached_them() -> None:
    assert [r.reached for r in rungs([trial(0, "stopped", 1)], TOP)] == [1, 0, 0]


def test_wrong_stops_by_hand(record) -> None:
    # All at the top, of equal size within the tolerance; best two of four pass for eta 2.
    records = [
        record(0, (0.5, 0.90)),
        record(1, (0.5, 0.80)),
        record(2, (0.5, 0.85), explored=(0,)),
        record(3, (0.5, 0.70), explored=(0, 1)),
        record(4, (0.9,), explored=(0,), state="running"),
        record(5, (0.9,), state="stopped"),
    ]
    explored, promoted = judged(records, 2.0, tolerance=10)
    # Trial 3 counts for rung 0, the first whose rule was against it. `record` takes one flop a
    # number, so the front is 3, 2, 0 by rising flops: small networks are not stopped for being so.
    assert (explored.rung, explored.n, explored.kept, explored.front) == (0, 2, 1, 2)
    assert (promoted.rung, promoted.n, promoted.kept, promoted.front) == (None, 2, 1, 1)
    assert explored.share == 0.5
    # Without tolerance only smaller networks are peers: 3 has none, 2 beats 3, 1 loses to 2,
    # which is one of three where two pass.
    assert [line.kept for line in judged(records, 2.0)] == [2, 2]


def test_the_rungs_of_the_sample_stand_apart(record) -> None:
    records = [record(i, (0.5, 0.5 + 0.01 * i), explored=(i % 2,)) for i in range(4)]
    assert [(j.rung, j.n) for j in judged(records, 2.0)] == [(0, 2), (1, 2), (None, 0)]


def test_a_policy_that_was_proposed_again_counts_once(record) -> None:
    first = record(0, (0.5, 0.9), explored=(0,))
    again = record(1, (0.5, 0.9), explored=(0,), policy=first.policy, seed=first.seed)
    assert [r.number for r in once([first, again])] == [0]
    assert judged([first, again], 2.0)[0].n == 1
    further = record(3, (0.5, 0.9), policy=first.policy, seed=first.seed)
    stopped = record(4, (0.5,), policy=first.policy, seed=first.seed, state="stopped")
    assert [r.number for r in once([stopped, further])] == [3]
    other_seed = record(2, (0.5, 0.9), policy=first.policy)
    assert len(once([first, other_seed])) == 2


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(counts: tuple[int, int]) -> None:
    hits, n = counts
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_of_wilson_are_as_far_off_as_the_test_allows(counts: tuple[int, int]) -> None:
    hits, n = counts
    for end in wilson(hits, n):
        if 0 < end < 1:
            distance = abs(hits / n - end) / math.sqrt(end * (1 - end) / n)
            assert distance == pytest.approx(1.959964, rel=1e-5)


def test_half_width_by_hand() -> None:
    # s = 0.01, n = 3, t(0.975, 2) = 4.30265.
    assert half_width([0.90, 0.91, 0.92]) == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-5)
    assert half_width([0.9]) is None
    assert half_width([0.9, 0.9, 0.9]) is None
    assert half_width([0.9, math.nan]) is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_half_width_equals_scipy(values: list[float]) -> None:
    found = half_width(values)
    if found is not None:
        low, high = stats.t.interval(
            0.95, len(values) - 1, loc=stats.tmean(values), scale=stats.sem(values)
        )
        assert 2 * found == pytest.approx(high - low)
