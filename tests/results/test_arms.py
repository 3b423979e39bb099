"""The schema of a comparison: it survives JSON, and counts each read of the test split once."""

from __future__ import annotations

import math
from dataclasses import replace

from comparisons import full_comparison, make_arm, make_comparison
from hypothesis import given
from hypothesis import strategies as st

from results import ARMS, ArmRecord, Comparison, SweepPoint
from spaces import Policy

names = st.text(max_size=8)
numbers = st.floats(allow_nan=True)
counts = st.integers(0, 10**15)
records = st.builds(
    ArmRecord,
    budget=names,
    structure=names,
    kind=st.sampled_from(["searched", "predefined", "discovered"]),
    best=st.booleans(),
    number=st.none() | counts,
    policy=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 99), min_size=1).map(
        Policy
    ),
    flops=counts,
    flops_fraction=st.floats(0, 1),
    params=counts,
    arm=st.sampled_from(ARMS),
    criterion=names,
    lr=st.floats(0, 1),
    epochs=counts,
    seed=counts,
    val_accuracy=numbers,
    test_accuracy=numbers,
    training_flops=counts,
    inherited_flops=counts,
    seconds=st.floats(0, 1e6),
    reason=names,
)
points = st.builds(
    SweepPoint,
    budget=names,
    lr=st.floats(0, 1),
    epochs=counts,
    seed=counts,
    val_accuracy=numbers,
    chosen=st.booleans(),
)
comparisons = st.builds(
    Comparison,
    options=st.dictionaries(names, st.integers() | names | st.lists(names, max_size=2)),
    arms=st.lists(records, max_size=3).map(tuple),
    sweep=st.lists(points, max_size=2).map(tuple),
    complete=st.booleans(),
    notes=st.lists(names, max_size=2).map(tuple),
)


@given(comparisons)
def test_a_comparison_survives_json(comparison: Comparison) -> None:
    back = Comparison.from_json(comparison.to_json())
    assert repr(back) == repr(comparison)  # nan is not equal to itself


def test_shared_trainings_read_the_test_split_once() -> None:
    # Of fresh weights l1 and uniform, whose widths are equal, are one training.
    arms = ("finetune", "scratch-b")
    cells = {(structure, arm): [0.9, 0.91] for structure in ("uniform", "l1") for arm in arms}
    comparison = make_comparison(cells)
    assert len(comparison.arms) == 8
    assert comparison.test_reads == 6
    failed = make_arm("thinet", "scratch-e", 0, math.nan, reason="diverged")
    assert replace(comparison, arms=(*comparison.arms, failed)).test_reads == 6
    # The same widths at another budget are the same network too.
    elsewhere = tuple(replace(r, budget="0.6") for r in comparison.arms)
    assert replace(comparison, arms=(*comparison.arms, *elsewhere)).test_reads == 6


def test_what_it_begins_with_and_what_it_took() -> None:
    by_arm = {r.arm: r for r in full_comparison(("uniform",), seeds=1).arms}
    assert [by_arm[arm].weights for arm in ARMS] == ["inherited"] * 3 + ["fresh"] * 3
    assert by_arm["finetune"].total_flops == by_arm["scratch-b+"].total_flops
    assert by_arm["scratch-b"].total_flops == by_arm["scratch-b"].training_flops


def test_empty_until_something_was_trained() -> None:
    assert not Comparison(sweep=(SweepPoint("0.5", 0.1, 1, 0, 0.5),))
    assert full_comparison()
    assert full_comparison().budgets == ["0.5"]
