"""Which arm is trained how, what it is said to have cost, and which rows share a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from comparisons import SIX
from trainings import Measured, Store

from results import ArmRecord
from results.training import TrainingRecord, TrainingSpec
from search.comparison.arms import Arms, EpochsAndRates
from search.comparison.structures import Structure
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import DIVERGED, Failure, TrainingJob
from search.plans.finals import Finalist
from search.training.loop import FINETUNE, FROM_SCRATCH

EPOCHS = EpochsAndRates(base=4, finetune=3, rates={"0.5": 0.03})
FRESH = ("scratch-e", "scratch-b", "scratch-b+")


def plan(
    evaluator: Evaluator, structures: Sequence[Structure], seeds: Sequence[int] = (5,), **more: Any
) -> Arms:
    return Arms(structures, SIX, seeds, more.pop("epochs", EPOCHS), evaluator, **more)


@pytest.fixture
def uniform(contenders: list[Finalist]) -> Structure:
    return Structure("uniform", contenders[-1].candidate, contenders[-1].budget)


@pytest.fixture
def l1(uniform: Structure) -> Structure:
    candidate = dataclasses.replace(uniform.candidate, criterion="l1")
    return dataclasses.replace(uniform, name="l1", candidate=candidate)


def trained(job: TrainingJob, **changes: Any) -> TrainingRecord:
    values = {"seconds": 2.0, "val_accuracy": 0.8, "test_accuracy": 0.7, **changes}
    return TrainingRecord("comparison", job.candidate, job.spec, job.seed, 1, 1, **values)


def by_arm(evaluator: Evaluator, structure: Structure, **more: Any) -> dict[str, ArmRecord]:
    return {row.arm: row for row in plan(evaluator, [structure], **more).rows(trained)}


def test_epochs_rates_and_weights_of_every_arm(evaluator: Evaluator, uniform: Structure) -> None:
    rows = by_arm(evaluator, uniform)
    full, flops = evaluator.space.full_flops, evaluator.space.flops(uniform.candidate.policy)
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
    full, images = evaluator.space.full_flops, 256
    flops = evaluator.space.flops(uniform.candidate.policy)
    assert len(evaluator.task.train) == images
    assert rows["finetune"].training_flops == 3 * flops * images * 3
    assert rows["finetune"].inherited_flops == 3 * full * images * 4
    assert rows["scratch-e"].total_flops == 3 * flops * images * 4
    # Scratch-B+ is the one that costs what fine-tuning does, to half an epoch.
    difference = rows["scratch-b+"].total_flops - rows["finetune"].total_flops
    assert abs(difference) <= 3 * flops * images / 2


def test_distillation_is_an_arm_that_counts_the_network_it_is_distilled_from(
    evaluator: Evaluator, uniform: Structure
) -> None:
    told = dataclasses.replace(
        evaluator, config=evaluator.config.having(distill=True, distill_temperature=2.0)
    )
    full, flops = evaluator.space.full_flops, evaluator.space.flops(uniform.candidate.policy)
    for one, temperature in ((evaluator, 4.0), (told, 2.0)):
        arms = Arms([uniform], ("finetune", "distilled"), (5,), EPOCHS, one)
        plain, distilled = arms.jobs
        assert plain.spec == TrainingSpec(0.03, 3)
        how = {"distill": 0.9, "temperature": temperature}
        assert distilled == dataclasses.replace(plain, spec=dataclasses.replace(plain.spec, **how))
        usual, row = arms.rows(trained)
        assert row.training_flops == (3 * flops + full) * 256 * 3
        assert row.inherited_flops == usual.inherited_flops == 3 * full * 256 * 4
        assert (row.weights, row.distill, row.temperature) == ("inherited", 0.9, temperature)
        assert (usual.distill, usual.temperature) == (0.0, 0.0)
        assert row.training != usual.training


def test_with_slimming_the_teachers_own_training_counts_too(
    evaluator: Evaluator, uniform: Structure
) -> None:
    longer = EpochsAndRates(base=9, finetune=3, rates={"0.5": 0.03})
    sparse = dataclasses.replace(uniform.candidate, criterion="slimming")
    slim = dataclasses.replace(uniform, name="slimming", candidate=sparse)
    rows = Arms([slim], ("finetune", "distilled"), (5,), longer, evaluator).rows(trained)
    full, images = evaluator.space.full_flops, len(evaluator.task.train)
    assert [r.inherited_flops for r in rows] == [3 * full * images * e for e in (9, 9 + 4)]


def test_inherited_weights_cost_what_their_own_training_did(
    evaluator: Evaluator, uniform: Structure
) -> None:
    full, images = evaluator.space.full_flops, len(evaluator.task.train)
    longer = EpochsAndRates(base=9, finetune=3, rates={"0.5": 0.03})
    sparse = dataclasses.replace(uniform.candidate, criterion="slimming")
    slim = dataclasses.replace(uniform, name="slimming", candidate=sparse)
    task = dataclasses.replace(evaluator.task, base_epochs=None)
    unknown = dataclasses.replace(evaluator, task=task)
    for structure, one, epochs in (
        (uniform, evaluator, 4),
        (slim, evaluator, 9),
        (uniform, unknown, 9),
    ):
        row = by_arm(one, structure, epochs=longer)["finetune"]
        assert row.inherited_flops == 3 * full * images * epochs


def test_batches_and_all_but_the_rate_are_the_same_in_every_arm(
    evaluator: Evaluator, uniform: Structure
) -> None:
    jobs = plan(evaluator, [uniform]).jobs
    recipes = [evaluator.specs.recipe(job.spec) for job in jobs]
    assert {(r.batch_size, r.weight_decay, r.momentum, r.nesterov) for r in recipes} == {
        (32, FINETUNE.weight_decay, FINETUNE.momentum, FINETUNE.nesterov)
    }
    assert FROM_SCRATCH.weight_decay == FINETUNE.weight_decay
    assert {(job.tested, job.returns_weights) for job in jobs} == {(True, False)}


def test_first_everybody_with_the_first_seed(evaluator: Evaluator, uniform: Structure) -> None:
    rows = plan(evaluator, [uniform], seeds=(5, 6)).planned
    assert [row.job.seed for row in rows] == [5] * 6 + [6] * 6
    assert [row.arm for row in rows] == [*SIX, *SIX]
    drawn = [row.job.candidate.criterion for row in rows if row.arm == "random-channels"]
    assert drawn == ["random 5", "random 6"]  # anew for every seed


def test_a_training_that_failed_is_recorded_with_its_reason(
    evaluator: Evaluator, uniform: Structure
) -> None:
    nan = float("nan")
    failed = {"val_accuracy": nan, "test_accuracy": nan, "reason": "diverged: nan"}
    row = plan(evaluator, [uniform]).rows(lambda job: trained(job, **failed))[0]
    assert (row.reason, row.epochs) == ("diverged: nan", 3)
    assert row.test_accuracy != row.test_accuracy


def test_a_shared_training_fills_the_rows_of_all_who_have_it(
    evaluator: Evaluator, uniform: Structure, l1: Structure
) -> None:
    arms, store, engine = plan(evaluator, [uniform, l1], (0, 1)), Store(), Measured()
    rows = store.carry_out(arms, evaluator, engine)
    # Per seed uniform has six and l1 two of its own: fresh networks and random channels are shared.
    assert (len(arms.jobs), len(rows), len(engine.asked)) == (24, 24, 16)
    records = {(r.structure, r.arm, r.seed): r.test_accuracy for r in rows}
    for arm in (*FRESH, "random-channels"):
        assert records["uniform", arm, 0] == records["l1", arm, 0]
    assert records["uniform", "finetune", 0] != records["l1", "finetune", 0]


def test_failures_are_recorded_and_tried_again(evaluator: Evaluator, uniform: Structure) -> None:
    arms, store = plan(evaluator, [uniform]), Store()
    bad = arms.jobs[0]
    failing = Measured(fails=lambda job: Failure("died", "it died") if job == bad else None)
    assert store.carry_out(arms, evaluator, failing)[0].reason == "it died"
    again = Measured()
    assert store.carry_out(arms, evaluator, again)[0].reason == ""
    assert again.asked == [bad]
    hopeless = Measured(fails=lambda job: Failure(DIVERGED, "nan") if job == bad else None)
    diverging = Store()
    diverging.carry_out(arms, evaluator, hopeless)
    assert diverging.carry_out(arms, evaluator, again)[0].reason == "nan"


def test_rows_of_other_trainings_are_kept_but_represent_no_budget(
    evaluator: Evaluator, uniform: Structure
) -> None:
    rows = plan(evaluator, [uniform]).rows(trained)
    other = dataclasses.replace(rows[0], structure="trial 9", kind="searched", best=True, lr=0.5)
    again = plan(evaluator, [uniform], earlier=[*rows, other]).rows(trained)
    assert again == [*rows, dataclasses.replace(other, best=False)]


def test_another_seed_extends_what_is_there(evaluator: Evaluator, uniform: Structure) -> None:
    store, engine = Store(), Measured()
    store.carry_out(plan(evaluator, [uniform], (0, 1)), evaluator, Measured())
    store.carry_out(plan(evaluator, [uniform], (0, 1, 2)), evaluator, engine)
    assert {job.seed for job in engine.asked} == {2}
