"""What a run cost and saved, by hand-worked sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import make_run

from results import (
    ArmRecord,
    Candidate,
    Comparison,
    FinalRecord,
    SweepPoint,
    TrainingRecord,
    TrainingSpec,
    TrialRecord,
)
from results.reporting import sections
from results.spending import (
    at_the_top_alone,
    epochs_at,
    saved,
    spent,
    times_tested,
    trained_flops,
)
from results.training import training_flops
from spaces import Policy

IMAGES = 100
ABOUT: dict[str, Any] = {
    "train_images": IMAGES,
    "full_flops": 1000,
    "config": {"judging": {"rungs": [1, 3]}},
}


def trial(number: int, flops: int, seconds: tuple[float, ...], **changes: Any) -> TrialRecord:
    """A trial that went through as many rungs as it has seconds; it was stopped below rung 2."""
    behind = len(seconds) - 1
    fields: dict[str, Any] = {
        "number": number,
        "policy": Policy({"a": 1 + number}),
        "origin": "tpe",
        "flops": flops,
        "flops_fraction": flops / 1000,
        "params": 10,
        "proxies": {"p": 0.1},
        "accuracy": (0.5, 0.6)[:behind],
        "epochs": (1, 3)[:behind],
        "rung_seconds": seconds,
        "seconds": sum(seconds),
        "state": "complete" if behind == 2 else "stopped",
    }
    return TrialRecord(**fields | changes)


TRIALS = [
    trial(0, 500, (1.0, 10.0, 30.0)),
    trial(1, 400, (2.0, 8.0)),
    trial(2, 200, (3.0,)),
]


def test_spent_by_hand() -> None:
    lines = {line.what: line for line in spent(make_run(TRIALS, [], ABOUT))}
    assert list(lines) == ["proxies", "rung 1", "rung 2"]
    assert (lines["proxies"].trainings, lines["proxies"].flops, lines["proxies"].seconds) == (
        3,
        None,
        6.0,
    )
    # 3 × (500 + 400) × 100 images × 1 epoch; 3 × 500 × 100 × 3.
    assert (lines["rung 1"].flops, lines["rung 1"].seconds) == (270_000, 18.0)
    assert (lines["rung 2"].flops, lines["rung 2"].seconds) == (450_000, 30.0)


def test_saved_by_hand() -> None:
    at_0, at_1 = saved(make_run(TRIALS, [], ABOUT))
    # Trial 2 was spared 3 × 200 × 100 × (1 + 3), trial 1 was spared 3 × 400 × 100 × 3.
    assert (at_0.what, at_0.trainings, at_0.flops) == ("stopped by proxies", 1, 240_000)
    assert (at_1.what, at_1.trainings, at_1.flops) == ("stopped at rung 1", 1, 360_000)
    # 18 s took 270,000 at rung 1, 30 s took 450,000 at rung 2: both 15,000 a second.
    assert at_0.seconds == pytest.approx(16.0)
    assert at_1.seconds == pytest.approx(24.0)


def test_against_training_everybody_at_the_top_alone() -> None:
    # 3 × (500 + 400 + 200) × 100 × 3 epochs, against 270,000 + 450,000 that were spent.
    assert at_the_top_alone(make_run(TRIALS, [], ABOUT)) == 990_000
    assert trained_flops(make_run(TRIALS, [], ABOUT)) == 720_000
    unended = [replace(TRIALS[0], number=9, policy=Policy({"a": 99}), state="running")]
    assert at_the_top_alone(make_run([*TRIALS, *unended], [], ABOUT)) == 990_000
    assert trained_flops(make_run([*TRIALS, *unended], [], ABOUT)) == 720_000


DISTILLED: dict[str, Any] = ABOUT | {
    "config": {"judging": {"rungs": [1, 3]}, "training": {"distill": True}}
}


def test_distillation_is_counted_at_every_rung_and_in_what_was_saved() -> None:
    """One pass of the 1000 flops of the unpruned network for each image of each epoch."""
    run = make_run(TRIALS, [], DISTILLED)
    lines = {line.what: line for line in spent(run)}
    assert lines["rung 1"].flops == (3 * 500 + 1000 + 3 * 400 + 1000) * 100
    assert lines["rung 2"].flops == (3 * 500 + 1000) * 100 * 3
    at_0, at_1 = saved(run)
    assert at_0.flops == (3 * 200 + 1000) * 100 * (1 + 3)
    assert at_1.flops == (3 * 400 + 1000) * 100 * 3
    # 18 s took 470,000 at rung 1, and 30 s took 750,000 at rung 2.
    assert at_0.seconds == pytest.approx(160_000 * 18 / 470_000 + 480_000 * 30 / 750_000)
    assert at_1.seconds == pytest.approx(660_000 * 30 / 750_000)
    assert trained_flops(run) == 470_000 + 750_000
    assert at_the_top_alone(run) == (3 * (500 + 400 + 200) + 3 * 1000) * 100 * 3


def test_the_report_says_what_distillation_costs_where_there_is_any() -> None:
    said = "A step of a distilled training has one forward pass of the unpruned network more"
    how = TrainingSpec(0.1, 2, distill=0.9, temperature=4.0)
    made = TrainingRecord("comparison", TRIALS[0].candidate, how, 0, 500, 9, 1.0)
    for run, told in (
        (make_run(TRIALS, [], DISTILLED), True),
        (make_run(TRIALS, [], ABOUT, training_records=(made,)), True),
        (make_run(TRIALS, [], ABOUT), False),
    ):
        texts = [getattr(block, "text", "") for block in sections.section("spending", run).blocks]
        assert any(text.startswith(said) for text in texts) == told


def test_a_rung_known_from_another_trial_costs_nothing() -> None:
    twin = replace(TRIALS[0], number=3, rung_seconds=(0.0, 0.0, 0.0))
    assert spent(make_run([*TRIALS, twin], [], ABOUT)) == spent(make_run(TRIALS, [], ABOUT))
    old = [replace(r, rung_seconds=()) for r in (TRIALS[0], twin)]
    assert [(line.trainings, line.seconds) for line in spent(make_run(old, [], ABOUT))] == [
        (1, None)
    ] * 3


def test_a_stopped_policy_that_another_trial_took_further_saved_nothing() -> None:
    higher = trial(4, 400, (0.0, 0.0, 24.0), policy=TRIALS[1].policy)
    (line,) = saved(make_run([*TRIALS, higher], [], ABOUT))
    assert line.what == "stopped by proxies"
    again = replace(TRIALS[2], number=5, rung_seconds=(0.0,))
    assert saved(make_run([*TRIALS, again], [], ABOUT)) == saved(make_run(TRIALS, [], ABOUT))


def test_a_failed_training_leaves_its_seconds_and_no_flops() -> None:
    failed = trial(3, 300, (1.0, 5.0), accuracy=(), epochs=(), state="failed")
    lines = {line.what: line for line in spent(make_run([*TRIALS, failed], [], ABOUT))}
    assert (lines["rung 1"].trainings, lines["rung 1"].flops) == (3, 270_000)
    assert lines["rung 1"].seconds == 23.0
    # The pace comes from those that succeeded, and a failure saves nothing.
    assert saved(make_run([*TRIALS, failed], [], ABOUT)) == saved(make_run(TRIALS, [], ABOUT))


def test_scratch_b_stretches_the_epochs_that_were_saved() -> None:
    stretched = [
        replace(r, mode="scratch-b", epochs=tuple(round(e * 1000 / r.flops) for e in r.epochs))
        for r in TRIALS
    ]
    assert stretched[0].epochs == (2, 6)
    assert [epochs_at(r, 3) for r in stretched] == [6, 8, 15]
    at_0, at_1 = saved(make_run(stretched, [], ABOUT))
    assert at_0.flops == 3 * 200 * 100 * (5 + 15)
    assert at_1.flops == 3 * 400 * 100 * 8
    assert epochs_at(replace(stretched[0], flops_fraction=2.5), 1) == 1


def test_nothing_is_invented() -> None:
    old = [replace(r, rung_seconds=()) for r in TRIALS]
    assert [line.seconds for line in spent(make_run(old, [], ABOUT))] == [None] * 3
    assert [(line.flops, line.seconds) for line in saved(make_run(old, [], ABOUT))] == [
        (240_000, None),
        (360_000, None),
    ]
    # Rung 2 was never reached, so nobody knows its pace.
    assert [line.seconds for line in saved(make_run(TRIALS[1:], [], ABOUT))] == [None, None]
    for missing in ("train_images", "config"):
        about = {key: value for key, value in ABOUT.items() if key != missing}
        assert saved(make_run(TRIALS, [], about)) == []
        assert at_the_top_alone(make_run(TRIALS, [], about)) is None
    unknown = spent(make_run(TRIALS, [], {}))
    assert [line.flops for line in unknown] == [None] * 3
    assert [line.seconds for line in unknown] == [6.0, 18.0, 30.0]
    assert trained_flops(make_run(TRIALS, [], {})) is None
    assert spent(make_run([], [], ABOUT)) == saved(make_run([], [], ABOUT)) == []


def test_repeats_count_the_rungs_that_were_measured() -> None:
    nan = float("nan")
    repeat = replace(TRIALS[0], seed=7, accuracy=(nan, 0.61), rung_seconds=(), seconds=29.0)
    (*_, line) = spent(make_run(TRIALS, [], ABOUT, repeats=[repeat]))
    assert (line.what, line.trainings, line.flops, line.seconds) == ("repeats", 1, 450_000, 29.0)


def final(name: str, policy: Policy | None, **changes: Any) -> FinalRecord:
    fields: dict[str, Any] = {
        "budget": "0.5",
        "number": None,
        "flops": 500,
        "flops_fraction": 0.5,
        "params": 1,
        "seeds": (0, 1, 2),
        "epochs": 12,
    }
    role: Any = "baseline" if policy is None else "searched"
    return FinalRecord(name, role, policy=policy, **fields | changes)


def test_finals_and_the_unpruned_network() -> None:
    policy = Policy({"a": 3})
    finals = [
        final("baseline", None, flops=1000, seeds=(0,), epochs=0),
        final("trial 2", policy),
        final("uniform@0.5", policy),  # the same network: trained once
        final("trial 3", Policy({"a": 4}), seeds=(0,)),
    ]
    first, *_, last = spent(make_run(TRIALS, finals, ABOUT | {"base_epochs": 20}))
    assert (first.what, first.trainings, first.flops) == (
        "unpruned network",
        1,
        3 * 1000 * 100 * 20,
    )
    assert (last.what, last.trainings, last.flops) == ("finals", 4, 4 * 3 * 500 * 100 * 12)
    assert last.seconds is None
    assert spent(make_run([], finals, ABOUT | {"base_epochs": None}))[0].what == "finals"


def test_layerwise_finals_count_the_larger_networks_on_the_way() -> None:
    """One image costs 1,400 in the stages, so the three seeds cost 3 × 100 × 1,400 three times."""
    gradual = final("trial 2", Policy({"a": 3}), layer_epochs=2, layer_flops=1400)
    [*_, last] = spent(make_run([], [gradual], ABOUT))
    assert last.flops == 3 * 3 * 100 * (500 * 12 + 1400)


def arm(structure: str, seed: int, **changes: Any) -> ArmRecord:
    fields: dict[str, Any] = {
        "budget": "0.5",
        "kind": "predefined",
        "best": False,
        "number": None,
        "policy": Policy({"a": 3}),
        "flops": 400,
        "flops_fraction": 0.4,
        "params": 1,
        "arm": "finetune",
        "criterion": "l1",
        "lr": 0.01,
        "epochs": 10,
        "training_flops": 1_200_000,
        "inherited_flops": 9_000_000,
        "seconds": 4.0,
    }
    return ArmRecord(structure=structure, seed=seed, **fields | changes)


def test_a_training_counts_for_the_purpose_that_it_was_made_for() -> None:
    """Of a purpose that is not known here too; a failure leaves its seconds."""
    how = TrainingSpec(0.1, 2)
    made = {"spec": how, "candidate": Candidate(Policy({"a": 3}), "l1"), "flops": 9, "seconds": 2.0}
    records = (
        TrainingRecord("mine", seed=0, training_flops=5, **made),
        TrainingRecord("finals", seed=0, training_flops=7, test_accuracy=0.9, **made),
        TrainingRecord("finals", seed=1, training_flops=0, failure="diverged", **made),
        TrainingRecord("comparison", seed=2, training_flops=7, test_accuracy=0.9, **made),
    )
    run = make_run(training_records=records, compared=Comparison(earlier_reads=3))
    assert [(line.what, line.trainings, line.flops, line.seconds) for line in spent(run)] == [
        ("finals", 2, 7, 4.0),
        ("comparison", 1, 7, 2.0),
        ("mine", 1, 5, 2.0),
    ]
    assert times_tested(run) == (1, 1 + 3)


def test_the_comparison_counts_each_training_once() -> None:
    sweep = (SweepPoint("0.5", 0.01, 2, 0, 0.8), SweepPoint("0.3", 0.01, 2, 0, 0.8))
    compared = Comparison(arms=(arm("uniform", 0), arm("uniform", 1), arm("l1", 1)), sweep=sweep)
    rates, line = spent(make_run([], [], ABOUT, compared=compared))
    assert (line.what, line.trainings, line.flops) == ("comparison", 2, 2 * 1_200_000)
    assert line.seconds == 8.0
    # The one point of the sweep whose network is known: 3 × 400 × 100 × 2.
    assert (rates.what, rates.trainings, rates.flops, rates.seconds) == ("sweep", 1, 240_000, None)
    assert [each.flops for each in spent(make_run(compared=compared))] == [None, 2 * 1_200_000]


def test_sparse_training_is_a_part_of_its_own() -> None:
    slim = arm("slimming", 0)
    compared = Comparison(arms=(slim,), sparse_flops=3_000_000, sparse_seconds=30.0)
    sparse, line = spent(make_run([], [], ABOUT, compared=compared))
    assert (sparse.what, sparse.trainings) == ("sparse training", 1)
    assert (sparse.flops, sparse.seconds) == (3_000_000, 30.0)
    assert (line.what, line.flops, line.seconds) == ("comparison", 1_200_000, 4.0)
    # It is paid before the first arm is trained, and older comparisons did not measure it.
    begun = replace(compared, arms=())
    assert spent(make_run([], [], ABOUT, compared=begun)) == [sparse]
    old, _ = spent(make_run([], [], ABOUT, compared=Comparison(arms=(slim,))))
    assert (old.what, old.trainings, old.flops, old.seconds) == ("sparse training", 1, None, None)


def test_flops_of_half_an_epoch_are_whole() -> None:
    assert training_flops(333, 7, 0.5) == 3496  # 3 × 333 × 7 / 2 = 3496.5, to even
    (line,) = spent(make_run([], [], ABOUT | {"base_epochs": 2.5}))
    assert isinstance(line.flops, int)
    assert line.flops == 750_000


measured = st.lists(
    st.tuples(st.integers(1, 1000), st.lists(st.floats(0.1, 99), min_size=1, max_size=3)),
    max_size=12,
)


@given(measured)
def test_spending_adds_up(measured: list[tuple[int, list[float]]]) -> None:
    trials = [trial(i, flops, tuple(s)) for i, (flops, s) in enumerate(measured)]
    lines = spent(make_run(trials, [], ABOUT))
    assert sum(line.seconds or 0 for line in lines) == pytest.approx(sum(r.seconds for r in trials))
    assert sum(line.flops or 0 for line in lines) == trained_flops(make_run(trials, [], ABOUT))
    # What was spent and what was saved is every trial through every rung.
    everything = sum(3 * r.flops * IMAGES * (1 + 3) for r in trials)
    assert (trained_flops(make_run(trials, [], ABOUT)) or 0) + sum(
        line.flops for line in saved(make_run(trials, [], ABOUT))
    ) == everything
