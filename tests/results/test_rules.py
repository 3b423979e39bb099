"""The rules of promotion by hand, and against a plain loop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.rules import at_rung, dominated, measurement, next_rung, outdone, tolerance

points = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.1, 0.5, 0.9, math.nan])))


@given(points, st.integers(0, 9), st.sampled_from([0.1, 0.5, 0.9, math.nan]), st.integers(0, 2))
def test_peers_have_at_most_its_flops_and_nan_loses_to_every_number(
    others: list[tuple[int, float]], flops: int, score: float, within: int
) -> None:
    peers = [s for f, s in others if f <= flops + within]
    better = sum(s == s and not s <= score for s in peers)
    f, s = (np.array([o[i] for o in others], dtype=float) for i in (0, 1))
    assert outdone(flops, score, f, s, within) == (better, len(peers))


@pytest.mark.parametrize(
    ("better", "peers", "eta", "stops"),
    [(0, 1, 2.0, False), (1, 3, 2.0, False), (2, 3, 2.0, True), (1, 3, 3.0, True)],
)
def test_the_best_in_eta_are_promoted(better: int, peers: int, eta: float, stops: bool) -> None:
    assert dominated(better, peers, eta) == stops


def test_tolerance_is_a_hundredth_where_a_run_does_not_say() -> None:
    assert (tolerance(1999), tolerance(1000, 0.05), tolerance(None, None)) == (19, 50, 0)


def test_rungs_that_judged_a_trial_and_the_one_that_is_next(record) -> None:
    begun = record(1, proxies={}, state="running")
    assert (next_rung(begun), at_rung(begun)) == (0, 0)
    assert (next_rung(record(1)), at_rung(record(1, state="stopped"))) == (1, 0)
    running = record(1, (0.5,), state="running")
    assert (next_rung(running), at_rung(running)) == (2, 2)
    assert at_rung(record(1, (0.5, 0.6))) == 2


def test_what_is_measured_alike(record) -> None:
    one = record(1)
    assert measurement(replace(one, number=2, accuracy=(0.5,))) == measurement(one)
    for other in (record(2), record(1, criterion="l1"), record(1, mode="scratch-e")):
        assert measurement(other) != measurement(one)
    assert measurement(record(1, seed=9)) != measurement(one)
