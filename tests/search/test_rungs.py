"""DominanceRule: which trials are promoted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.evaluation.rungs import Competitors, DominanceRule, Point

POINTS = st.builds(Point, size=st.integers(1, 20), score=st.integers(0, 20).map(lambda k: k / 20))
MERIT = DominanceRule(eta=2, explore=0.0)


def competitors_at(points: list[Point]) -> Competitors:
    return Competitors(np.array([p.size for p in points]), np.array([p.score for p in points]))


def test_the_first_at_a_rung_is_promoted() -> None:
    assert not MERIT.dominated(Point(10, 0.0), competitors_at([]))


def test_the_best_one_in_eta_are_promoted() -> None:
    peers = [Point(10, score / 10) for score in range(9)]
    promoted = [
        mine.score
        for mine in peers
        if not DominanceRule(eta=3, explore=0).dominated(
            mine, competitors_at([p for p in peers if p != mine])
        )
    ]
    assert promoted == [0.6, 0.7, 0.8]  # ceil(9 / 3) of 9


def test_a_larger_network_is_no_peer() -> None:
    small, large = Point(10, 0.5), [Point(11, 0.9)] * 9
    assert MERIT.beaten_by(small, competitors_at(large)) == (0, 1)
    assert not MERIT.dominated(small, competitors_at(large))
    assert DominanceRule(eta=2, explore=0, tolerance=1).dominated(small, competitors_at(large))


def test_equal_scores_do_not_beat_each_other() -> None:
    assert MERIT.beaten_by(Point(10, 0.5), competitors_at([Point(10, 0.5)] * 9)) == (0, 10)


def test_a_score_of_nan_loses_to_every_number_and_beats_none() -> None:
    assert MERIT.beaten_by(Point(10, math.nan), competitors_at([Point(10, 0.1)])) == (1, 2)
    assert MERIT.beaten_by(Point(10, 0.1), competitors_at([Point(10, math.nan)])) == (0, 2)


@given(POINTS, st.lists(POINTS, max_size=30), st.floats(1.1, 10))
def test_a_trial_on_the_front_never_stops(
    mine: Point, competitors: list[Point], eta: float
) -> None:
    dominated = any(o.size <= mine.size and o.score > mine.score for o in competitors)
    if not dominated:
        assert not DominanceRule(eta=eta, explore=0.0).dominated(mine, competitors_at(competitors))


@given(POINTS, st.lists(POINTS, max_size=30), st.integers(0, 20))
def test_a_better_score_never_makes_a_trial_stop(
    mine: Point, competitors: list[Point], gain: int
) -> None:
    better = mine._replace(score=mine.score + gain / 20)
    if not MERIT.dominated(mine, competitors_at(competitors)):
        assert not MERIT.dominated(better, competitors_at(competitors))


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_a_share_of_the_seeds_is_explored(share: float) -> None:
    explored = sum(map(DominanceRule(explore=share).explores, range(5000)))
    assert explored / 5000 == pytest.approx(share, abs=0.015)


def test_exploring_follows_from_the_seed() -> None:
    rule = DominanceRule(explore=0.5)
    assert [rule.explores(seed) for seed in range(50)] == [
        rule.explores(seed) for seed in range(50)
    ]
