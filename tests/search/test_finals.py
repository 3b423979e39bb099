"""Finals: who is trained to the end, once each, and what is kept in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from search.evaluator import Evaluator
from search.jobs import Failure, TrainingJob, TrainingResult
from torch import Tensor

import prune_ops
import spaces
from results import FinalRecord, TrialRecord
from search.config import SearchConfig
from search.engines.local import Local
from search.finals import Finalist, Finals, finalists
from search.layerwise import stages
from search.task import build_task
from spaces import Budget

HALF = Budget.parse("0.5")


class Engine(Local):
    """The local engine, last job first; it remembers the jobs, and may fail or be cut short."""

    def __init__(self, cut: int | None = None, failing: TrainingJob | None = None) -> None:
        super().__init__()
        self.asked: list[TrainingJob] = []
        self.cut, self.failing = cut, failing

    def finals(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        self.asked += jobs
        for number, (job, result) in enumerate(super().finals(evaluator, jobs[::-1])):
            if number == self.cut:
                raise KeyboardInterrupt
            failure = Failure("kind", "bad luck") if job == self.failing else None
            yield job, dataclasses.replace(result, failure=failure)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    cache = Path(tmp_path_factory.mktemp("cache"))
    task = build_task(train_images=128, baseline_epochs=2, cache=cache, device="cpu")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["l1"])
    config = SearchConfig.of(final_epochs=1, final_seeds=3, seed=5, criterion="l1")
    return Evaluator(task, space, {"l1": prune_ops.normalised(scores["l1"])}, config)


@pytest.fixture(scope="module")
def contenders(evaluator: Evaluator) -> list[Finalist]:
    """A policy that was found, and uniform widths, which were found too."""
    uniform, other = evaluator.space.uniform(0.5), evaluator.space.uniform(0.4)
    return [
        Finalist("trial 7", other, "l1", HALF, 7, best=True),
        Finalist("trial 0", uniform, "l1", HALF, 0),
        Finalist("uniform@0.5", uniform, "l1", HALF),
    ]


class Kept:
    """What was kept, and what was shown."""

    def __init__(self) -> None:
        self.finals: list[FinalRecord] = []
        self.shown: list[str] = []

    def keep(self, finals: list[FinalRecord]) -> None:
        self.finals = finals

    def show(self, final: FinalRecord) -> None:
        self.shown.append(final.name)


def run(
    evaluator: Evaluator, contenders: list[Finalist], models: Path, engine: Local, kept: Kept
) -> tuple[list[FinalRecord], list[str]]:
    finals = Finals(contenders, evaluator, models, kept.finals, kept.keep)
    return finals.run(engine, kept.show), finals.failures


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)  # type: ignore[no-any-return]


def test_records_do_not_depend_on_the_order_in_which_results_come(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    forwards, backwards = Kept(), Kept()
    first, _ = run(evaluator, contenders, tmp_path / "a", Local(), forwards)
    second, _ = run(evaluator, contenders, tmp_path / "b", Engine(), backwards)
    assert first == second == forwards.finals == backwards.finals
    assert [final.name for final in first] == ["baseline", "trial 7", "trial 0", "uniform@0.5"]
    assert [final.seeds for final in first] == [(5,), (5, 6, 7), (5, 6, 7), (5, 6, 7)]
    assert sorted(forwards.shown) == sorted(backwards.shown) == sorted(3 * forwards.shown[:3])
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert sorted(path.name for path in folder.iterdir()) == ["0", "7"]
        alone = evaluator.final(TrainingJob(contenders[0].policy, 5, source="l1"))
        saved = weights(folder / "7")
        assert all(torch.equal(value, saved[name]) for name, value in alone.weights.items())
    assert first[1].test_accuracy[0] == alone.test_accuracy


def test_a_policy_in_two_places_is_trained_once(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    engine = Engine()
    records, _ = run(evaluator, contenders, tmp_path, engine, Kept())
    policies = [contenders[0].policy, contenders[1].policy]
    assert engine.asked == [
        TrainingJob(p, seed, source="l1") for seed in (5, 6, 7) for p in policies
    ]
    assert records[2].test_accuracy == records[3].test_accuracy


def test_finals_cut_short_go_on_with_what_was_kept(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    whole, _ = run(evaluator, contenders, tmp_path / "whole", Local(), Kept())
    kept, engine = Kept(), Engine()
    with pytest.raises(KeyboardInterrupt):
        run(evaluator, contenders, tmp_path, Engine(cut=4), kept)
    assert [final.seeds for final in kept.finals[1:]] == [(6, 7)] * 3
    resumed, _ = run(evaluator, contenders, tmp_path, engine, kept)
    assert resumed == whole
    assert engine.asked == [TrainingJob(one.policy, 5, source="l1") for one in contenders[:2]]
    assert len(kept.shown) == 6 + 9  # what was known is shown again


def test_a_training_that_fails_is_left_out_and_told_of(
    evaluator: Evaluator, contenders: list[Finalist], tmp_path: Path
) -> None:
    failing = TrainingJob(contenders[1].policy, 5, source="l1")
    records, failures = run(evaluator, contenders, tmp_path, Engine(failing=failing), Kept())
    assert [final.seeds for final in records[1:]] == [(5, 6, 7), (6, 7), (6, 7)]
    assert failures == [
        "trial 0 could not be trained with seed 5: bad luck",
        "uniform@0.5 could not be trained with seed 5: bad luck",
    ]
    assert (tmp_path / "0" / "weights.pt").is_file()  # as trained with the next seed


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
    baseline, one, *_ = run(gradual, contenders[:1], tmp_path, Engine(), Kept())[0]
    assert one.policy is not None
    way = list(stages(evaluator.space, one.policy))
    assert one.layer_epochs == 2 * len(way) > 2
    assert one.layer_flops == 2 * sum(evaluator.space.flops(policy) for policy in way)
    assert one.layer_flops > one.layer_epochs * one.flops
    assert (baseline.layer_epochs, baseline.layer_flops) == (0, 0)
    plain = run(evaluator, contenders[:1], tmp_path, Engine(), Kept())[0][1]
    assert (plain.layer_epochs, plain.layer_flops) == (0, 0)
