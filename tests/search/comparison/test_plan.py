"""Which arm is trained how, and what it is said to have cost."""

from __future__ import annotations

import dataclasses

import pytest
from search.evaluator import Evaluator, Training
from search.jobs import Failure, TrainingResult

from results import ARMS, ArmRecord
from search.comparison.plan import Planned, Schedule, plan, record
from search.comparison.structures import Structure
from search.finals import Finalist
from search.train import FINETUNE, FROM_SCRATCH

SCHEDULE = Schedule(base=4, finetune=3, rates={"0.5": 0.03})


def planned(
    evaluator: Evaluator, structure: Structure, seeds: tuple[int, ...] = (5,)
) -> list[Planned]:
    return plan([structure], ARMS, seeds, SCHEDULE, evaluator)


@pytest.fixture
def uniform(contenders: list[Finalist]) -> Structure:
    return Structure("uniform", "predefined", "0.5", *contenders[-1].tried)


def by_arm(evaluator: Evaluator, structure: Structure) -> dict[str, ArmRecord]:
    result = TrainingResult(2.0, 0, 0.8, 0.7)
    rows = [record(one, result, SCHEDULE, evaluator) for one in planned(evaluator, structure)]
    return {row.arm: row for row in rows}


def test_epochs_rates_and_weights_of_every_arm(evaluator: Evaluator, uniform: Structure) -> None:
    rows = by_arm(evaluator, uniform)
    full, flops = evaluator.space.full_flops, evaluator.space.flops(uniform.policy)
    equal = round(4 * full / flops)
    told = {arm: (r.weights, r.epochs, r.lr, r.criterion) for arm, r in rows.items()}
    # 256 images are few: batches of 32 and half the usual rate from scratch.
    assert told == {
        "finetune": ("inherited", 3, 0.03, "second_order"),
        "finetune-small": ("inherited", 3, 0.001, "second_order"),
        "random-channels": ("inherited", 3, 0.03, "random"),
        "scratch-e": ("fresh", 4, 0.05, ""),
        "scratch-b": ("fresh", equal, 0.05, ""),
        "scratch-b+": ("fresh", equal + 3, 0.05, ""),
    }


def test_the_computation_is_counted_with_the_unpruned_networks_own(
    evaluator: Evaluator, uniform: Structure
) -> None:
    rows = by_arm(evaluator, uniform)
    full, flops, images = evaluator.space.full_flops, evaluator.space.flops(uniform.policy), 256
    assert len(evaluator.task.train) == images
    assert rows["finetune"].training_flops == 3 * flops * images * 3
    assert rows["finetune"].inherited_flops == 3 * full * images * 4
    assert rows["scratch-e"].total_flops == 3 * flops * images * 4
    # Scratch-B+ is the one that costs what fine-tuning does, to half an epoch.
    difference = rows["scratch-b+"].total_flops - rows["finetune"].total_flops
    assert abs(difference) <= 3 * flops * images / 2


def test_inherited_weights_cost_what_their_own_training_did(
    evaluator: Evaluator, uniform: Structure
) -> None:
    full, images = evaluator.space.full_flops, len(evaluator.task.train)
    longer = Schedule(base=9, finetune=3, rates={"0.5": 0.03})
    slim = dataclasses.replace(uniform, name="slimming", source="slimming")
    unknown = dataclasses.replace(
        evaluator, task=dataclasses.replace(evaluator.task, base_epochs=None)
    )
    for structure, how, epochs in (
        (uniform, evaluator, 4),
        (slim, evaluator, 9),
        (uniform, unknown, 9),
    ):
        row = plan([structure], ["finetune"], [0], longer, how)[0]
        made = record(row, TrainingResult(0.0), longer, how)
        assert made.inherited_flops == 3 * full * images * epochs


def test_batches_and_all_but_the_rate_are_the_same_in_every_arm(
    evaluator: Evaluator, uniform: Structure
) -> None:
    recipes = [one.job.training.recipe for one in planned(evaluator, uniform) if one.job.training]
    assert {(r.batch_size, r.weight_decay, r.momentum, r.nesterov) for r in recipes} == {
        (32, FINETUNE.weight_decay, FINETUNE.momentum, FINETUNE.nesterov)
    }
    assert FROM_SCRATCH.weight_decay == FINETUNE.weight_decay


def test_every_arm_reads_the_test_split_and_keeps_no_weights(
    evaluator: Evaluator, uniform: Structure
) -> None:
    for one in planned(evaluator, uniform):
        assert one.job.training is not None
        assert (one.job.training.tested, one.job.keep) == (True, False)


def test_first_everybody_with_the_first_seed(evaluator: Evaluator, uniform: Structure) -> None:
    rows = planned(evaluator, uniform, seeds=(5, 6))
    assert [one.job.seed for one in rows] == [5] * 6 + [6] * 6
    assert [one.arm for one in rows] == [*ARMS, *ARMS]


def test_random_channels_are_drawn_anew_for_every_seed(
    evaluator: Evaluator, uniform: Structure
) -> None:
    drawn = [
        one.job.source
        for one in planned(evaluator, uniform, (5, 6))
        if one.arm == "random-channels"
    ]
    assert drawn == ["random 5", "random 6"]


def test_fresh_networks_of_the_same_widths_are_one_training(
    evaluator: Evaluator, uniform: Structure
) -> None:
    l1 = dataclasses.replace(uniform, name="l1", source="l1")
    mine, theirs = (
        {one.arm: one.job for one in planned(evaluator, structure)} for structure in (uniform, l1)
    )
    assert {arm for arm in ARMS if mine[arm] == theirs[arm]} == {
        "random-channels",
        "scratch-e",
        "scratch-b",
        "scratch-b+",
    }


def test_a_training_that_failed_is_recorded_with_its_reason(
    evaluator: Evaluator, uniform: Structure
) -> None:
    result = TrainingResult(1.0, failure=Failure("diverged", "diverged: nan"))
    row = record(planned(evaluator, uniform)[0], result, SCHEDULE, evaluator)
    assert (row.reason, row.epochs) == ("diverged: nan", 3)
    assert row.test_accuracy != row.test_accuracy


def test_a_job_says_how_it_is_trained(evaluator: Evaluator, uniform: Structure) -> None:
    for one in planned(evaluator, uniform):
        assert isinstance(one.job.training, Training)
