"""Front and hypervolume against brute force and hand-worked areas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import TrialRecord, dominates, front, hypervolume, trial_front
from results.pareto import UNIT_SQUARE, finished, hypervolume_history
from spaces import Policy

# A coarse grid makes ties in one aim, in both, and duplicates common.
grid = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda p: (float(p[0]), float(p[1])))
clouds = st.lists(grid, max_size=12)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((1.0, 0.9), (2.0, 0.8), True),
        ((1.0, 0.9), (1.0, 0.8), True),
        ((1.0, 0.9), (2.0, 0.9), True),
        ((1.0, 0.9), (1.0, 0.9), False),
        ((1.0, 0.8), (2.0, 0.9), False),
        ((2.0, 0.8), (1.0, 0.9), False),
    ],
)
def test_dominates(a: tuple[float, float], b: tuple[float, float], expected: bool) -> None:
    assert dominates(a, b) is expected


@given(clouds)
def test_front_is_what_nothing_dominates(points: list[tuple[float, float]]) -> None:
    brute = {i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)}
    found = front(points)
    assert set(found) == brute
    assert len(found) == len(brute)
    assert [points[i] for i in found] == sorted(points[i] for i in found)


@given(clouds)
def test_hypervolume_counts_the_dominated_cells(points: list[tuple[float, float]]) -> None:
    cells = sum(
        any(p[0] <= x and p[1] >= y + 1 for p in points) for x in range(6) for y in range(6)
    )
    assert hypervolume(points, reference=(6.0, 0.0)) == cells


@given(clouds, grid)
def test_hypervolume_never_shrinks(
    points: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    reference = (6.0, 0.0)
    assert hypervolume([*points, more], reference) >= hypervolume(points, reference)


def test_hypervolume_by_hand() -> None:
    # 0.2 wide at 0.5 high, then 0.5 wide at 0.9 high; the last point lies beyond the reference.
    area = hypervolume([(0.3, 0.5), (0.5, 0.9), (1.2, 1.0)], reference=(1.0, 0.0))
    assert area == pytest.approx(0.2 * 0.5 + 0.5 * 0.9)


def test_points_without_accuracy_are_never_on_the_front() -> None:
    assert front([(1.0, math.nan), (2.0, 0.5)]) == [1]
    assert front([(1.0, math.nan)]) == []


def test_trial_front_compares_the_top_rung_only(record) -> None:
    full = record(1, (0.5, 0.6), flops=500)
    smaller = record(2, (0.5, 0.55), flops=400)
    dominated = record(3, (0.5, 0.50), flops=450)
    # Fewer epochs, so its accuracy says nothing beside the others'.
    lucky = record(4, (0.99,), flops=100)
    stopped = record(5, (0.5, 0.99), flops=100, state="stopped")
    front_numbers = [r.number for r in trial_front([full, smaller, dominated, lucky, stopped])]
    assert front_numbers == [2, 1]


def test_trial_front_of_untrained_trials_is_empty(record) -> None:
    assert trial_front([]) == []
    assert trial_front([record(1), record(2, state="failed")]) == []


def test_trial_front_leaves_out_a_complete_trial_without_accuracy(record) -> None:
    assert [r.number for r in trial_front([record(1, (math.nan,)), record(2, (0.5,))])] == [2]


climbs = st.lists(
    st.tuples(
        st.sampled_from(["complete", "complete", "stopped", "failed", "running"]),
        st.integers(1, 12),
        st.integers(0, 10),
    ),
    max_size=12,
)


@given(climbs)
def test_hypervolume_against_evaluations_never_falls_and_ends_at_the_front(
    climbs: list[tuple[str, int, int]],
) -> None:
    records = [
        TrialRecord(
            number=i,
            policy=Policy({"stem": i + 1}),
            origin="tpe",
            flops=f * 100_000,
            flops_fraction=f / 10,
            params=1,
            accuracy=(0.5, a / 10) if state == "complete" else (0.5,),
            state=state,  # type: ignore[arg-type]
        )
        for i, (state, f, a) in enumerate(climbs)
    ]
    volumes = hypervolume_history(records)
    assert len(volumes) == sum(state != "running" for state, _, _ in climbs)
    assert volumes == sorted(volumes)
    points = [(r.flops_fraction, r.val_accuracy) for r in finished(records)]
    assert (volumes or [0.0])[-1] == pytest.approx(hypervolume(points, UNIT_SQUARE))
    some = hypervolume_history(records, among=lambda r: r.number % 2 == 0)
    assert all(a <= b + 1e-12 for a, b in zip(some, volumes, strict=True))


def test_hypervolume_against_evaluations_by_hand(record) -> None:
    records = [
        record(2, (0.5,), state="stopped", flops=100_000),
        record(0, (0.5, 0.8), flops=500_000),
        record(1, (0.5, 0.7), flops=600_000),
        record(4, state="running"),
        record(3, (0.5, 0.6), flops=300_000),
    ]
    # 0: half the flops saved at 0.8. 1 is dominated, 2 was not trained to the top, and 3 adds the
    # 0.2 between 0.3 and 0.5 of the flops, 0.6 high.
    assert hypervolume_history(records) == pytest.approx([0.4, 0.4, 0.4, 0.52])
    alone = hypervolume_history(records, among=lambda r: r.number == 3)
    assert alone == pytest.approx([0.0, 0.0, 0.0, 0.42])
    assert hypervolume_history([]) == []
