"""The arms, and the records of a comparison: each read of the test split counts once."""

from __future__ import annotations

import math
from dataclasses import replace

from comparisons import SIX, full_comparison, make_arm, make_comparison
from runs import make_run

from results import ARMS, Comparison, SweepPoint, TrainingSpec
from results.arms import Schedule
from results.spending import times_tested
from search.comparison.config import CompareConfig

SCHEDULE = Schedule(base=20, equal=40, finetune=5, rate=0.03, scratch_rate=0.1)


def test_how_and_from_what_every_arm_trains() -> None:
    found = {name: (arm.spec(SCHEDULE), arm.source("l1", 7)) for name, arm in ARMS.items()}
    assert {name: found[name] for name in SIX} == {
        "finetune": (TrainingSpec(0.03, 5), "l1"),
        "finetune-small": (TrainingSpec(0.001, 5), "l1"),
        "random-channels": (TrainingSpec(0.03, 5), "random 7"),
        "scratch-e": (TrainingSpec(0.1, 20, scratch=True), ""),
        "scratch-b": (TrainingSpec(0.1, 40, scratch=True), ""),
        "scratch-b+": (TrainingSpec(0.1, 45, scratch=True), ""),
    }
    assert [name for name in SIX if ARMS[name].swept] == ["finetune", "random-channels"]
    told = replace(SCHEDULE, distill=0.5, temperature=2.0)
    assert found["distilled"] == (TrainingSpec(0.03, 5, distill=0.9, temperature=4.0), "l1")
    assert ARMS["distilled"].spec(told) == TrainingSpec(0.03, 5, distill=0.5, temperature=2.0)
    assert [name for name, arm in ARMS.items() if arm.distils] == ["distilled"]


def test_an_arm_on_request_is_no_default() -> None:
    assert CompareConfig().arms == SIX
    assert [name for name, arm in ARMS.items() if arm.on_request] == ["distilled"]
    assert not CompareConfig().distils
    assert CompareConfig.of(arms=["finetune", "distilled"]).distils


def test_shared_trainings_read_the_test_split_once() -> None:
    # Of fresh weights l1 and uniform, whose widths are equal, are one training.
    arms = ("finetune", "scratch-b")
    cells = {(structure, arm): [0.9, 0.91] for structure in ("uniform", "l1") for arm in arms}
    comparison = make_comparison(cells)
    assert len(comparison.arms) == 8
    failed = make_arm("thinet", "scratch-e", 0, math.nan, reason="diverged")
    # The same widths at another budget are the same network too.
    elsewhere = (replace(r, budget="0.6") for r in comparison.arms)
    for more in ((), (failed,), elsewhere):
        compared = replace(comparison, arms=(*comparison.arms, *more))
        assert times_tested(make_run(compared=compared)) == (0, 6)


def test_what_it_begins_with_and_what_it_took() -> None:
    by_arm = {r.arm: r for r in full_comparison(("uniform",), seeds=1).arms}
    assert [by_arm[arm].weights for arm in SIX] == ["inherited"] * 3 + ["fresh"] * 3
    assert by_arm["finetune"].total_flops == by_arm["scratch-b+"].total_flops
    assert by_arm["scratch-b"].total_flops == by_arm["scratch-b"].training_flops


def test_empty_until_something_was_trained() -> None:
    assert not Comparison(sweep=(SweepPoint("0.5", 0.1, 1, 0, 0.5),))
    assert full_comparison()
    assert full_comparison().budgets == ["0.5"]
