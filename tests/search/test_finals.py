"""Finals: who is trained to the end, once each, and what is kept in which order."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from trainings import Killed, Remembering, Store

import prune_ops
import spaces
from prune_ops.artifact import MODEL
from prune_ops.artifact.safetensors import read
from results import FinalRecord, TrialRecord
from results.record import Candidate
from search.config import SearchConfig
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure
from search.plans.finals import Finalist, Finals, SavedNetworks, finalists
from search.task.building import build_task
from search.training.layerwise import stages
from spaces import Budget

HALF = Budget.parse("0.5")


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    cache = Path(tmp_path_factory.mktemp("cache"))
    task = build_task("digits_cnn", train_images=128, baseline_epochs=2, cache=cache, device="cpu")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["l1"])
    return Evaluator(
        task=task,
        space=space,
        scores={"l1": prune_ops.normalised(scores["l1"])},
        config=SearchConfig.of(final_epochs=1, final_seeds=3, seed=5, criterion="l1"),
    )


@pytest.fixture(scope="module")
def contenders(evaluator: Evaluator) -> list[Finalist]:
    """A policy that was found, and uniform widths, which were found too."""
    uniform, other = evaluator.space.uniform(0.5), evaluator.space.uniform(0.4)
    return [
        Finalist("trial 7", Candidate(other, "l1"), HALF, 7, best=True),
        Finalist("trial 0", Candidate(uniform, "l1"), HALF, 0),
        Finalist("uniform@0.5", Candidate(uniform, "l1"), HALF),
    ]


def run(
    evaluator: Evaluator, contenders: list[Finalist], models: Path, engine: Local, store: Store
) -> tuple[list[FinalRecord], list[str]]:
    finals = Finals(contenders, evaluator)
    records = store.carry_out(finals, evaluator, engine, SavedNetworks(finals, models))
    return records, list(finals.failures(store.trainer(evaluator, engine).known))


def weights(folder: Path) -> dict[str, Tensor]:
    return read(folder / MODEL)[0]


def test_records_do_not_depend_on_the_order_in_which_results_come(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    forwards, backwards = Store(), Store()
    first, _ = run(evaluator, contenders, tmp_path / "a", Local(), forwards)
    second, _ = run(evaluator, contenders, tmp_path / "b", Remembering(), backwards)
    assert first == second == forwards.rows[-1] == backwards.rows[-1]
    assert [final.name for final in first] == ["baseline", "trial 7", "trial 0", "uniform@0.5"]
    assert [final.seeds for final in first] == [(5,), (5, 6, 7), (5, 6, 7), (5, 6, 7)]
    for final in first:  # the right answers in each class are of the same reading
        assert tuple(counts.accuracy for counts in final.by_class) == final.test_accuracy
        assert all(sum(counts.images) == 700 for counts in final.by_class)
    assert forwards.ticks == backwards.ticks == 6
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert sorted(path.name for path in folder.iterdir()) == ["0", "7", "uniform-0.5"]
        alone = evaluator.train_final(Finals(contenders, evaluator).job(contenders[0], 5))
        saved = weights(folder / "7")
        assert all(torch.equal(value, saved[name]) for name, value in alone.weights.items())
    assert first[1].test_accuracy[0] == alone.test_accuracy


def test_a_policy_in_two_places_is_trained_once(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    engine, finals = Remembering(), Finals(contenders, evaluator)
    records, _ = run(evaluator, contenders, tmp_path, engine, Store())
    assert engine.asked == [finals.job(f, seed) for seed in (5, 6, 7) for f in contenders[:2]]
    assert records[2].test_accuracy == records[3].test_accuracy


def test_finals_cut_short_go_on_with_what_was_kept(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    whole, _ = run(evaluator, contenders, tmp_path / "whole", Local(), Store())
    store, engine = Store(), Remembering()
    with pytest.raises(Killed):
        run(evaluator, contenders, tmp_path, Remembering(cut=4), store)
    kept = store.rows[-1]
    assert [final.seeds for final in kept[1:]] == [(6, 7)] * 3  # type: ignore[attr-defined]
    resumed, _ = run(evaluator, contenders, tmp_path, engine, store)
    assert resumed == whole
    finals = Finals(contenders, evaluator)
    assert engine.asked == [finals.job(finalist, 5) for finalist in contenders[:2]]
    assert store.ticks == 4 + 2


def test_a_network_that_is_not_there_is_trained_again(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    store, engine = Store(), Remembering()
    whole, _ = run(evaluator, contenders, tmp_path, Local(), store)
    shutil.rmtree(tmp_path / "7")
    again, _ = run(evaluator, contenders, tmp_path, engine, store)
    assert again == whole
    assert {job.candidate for job in engine.asked} == {contenders[0].candidate}
    assert (tmp_path / "7" / MODEL).is_file()


def test_a_training_that_fails_is_left_out_and_told_of(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    failing = Finals(contenders, evaluator).job(contenders[1], 5)
    engine = Remembering(fails=lambda job: Failure("diverged", "luck") if job == failing else None)
    records, failures = run(evaluator, contenders, tmp_path, engine, Store())
    assert [final.seeds for final in records[1:]] == [(5, 6, 7), (6, 7), (6, 7)]
    assert failures == [
        "trial 0 could not be trained with seed 5: luck",
        "uniform@0.5 could not be trained with seed 5: luck",
    ]
    assert (tmp_path / "0" / MODEL).is_file()  # as trained with the next seed


def test_of_each_budget_the_front_and_uniform_widths_are_trained(evaluator: Evaluator) -> None:
    def record(number: int, flops: int, accuracy: float) -> TrialRecord:
        policy = evaluator.space.uniform(0.1 + number / 100)
        return TrialRecord(
            number, policy, "tpe", flops, 0.0, 1, accuracy=(accuracy,), state="complete"
        )

    full = evaluator.space.full_flops
    accurate, small = record(0, full // 2, 0.9), record(1, full // 3, 0.8)
    beaten, tight = record(2, full // 3 + 1, 0.7), record(3, full // 10, 0.6)
    found = finalists([accurate, small, beaten, tight], evaluator, [HALF, Budget.parse("0.1")])
    said = [(finalist.name, str(finalist.budget), finalist.best) for finalist in found]
    assert said == [
        ("trial 0", "0.5", True),
        ("trial 1", "0.5", False),
        ("uniform@0.5", "0.5", False),
        ("trial 3", "0.1", True),
        ("uniform@0.1", "0.1", False),
    ]


def test_records_of_a_layerwise_run_say_what_the_stages_took(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    """Two epochs after each of the groups that lose channels."""
    config = evaluator.config.having(schedule="layerwise", layer_epochs=2)
    gradual = dataclasses.replace(evaluator, config=config)
    baseline, one, *_ = run(gradual, contenders[:1], tmp_path, Remembering(), Store())[0]
    assert one.policy is not None
    way = list(stages(evaluator.space, one.policy))
    assert one.layer_epochs == 2 * len(way) > 2
    assert one.layer_flops == 2 * sum(evaluator.space.flops(policy) for policy in way)
    assert one.layer_flops > one.layer_epochs * one.flops
    assert (baseline.layer_epochs, baseline.layer_flops) == (0, 0)
    plain = run(evaluator, contenders[:1], tmp_path, Remembering(), Store())[0][1]
    assert (plain.layer_epochs, plain.layer_flops) == (0, 0)
