"""On how many images networks are repaired."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import prune_ops
import spaces
from results.record import Candidate
from results.training import TrainingSpec
from search.config import SearchConfig
from search.evaluation import evaluator as evaluating
from search.evaluation import repairing
from search.evaluation.evaluator import Evaluator
from search.evaluation.repairing import images_to_train_on, largest_output, shortage
from search.task.building import build_task
from search.task.task import Task


def of(model: nn.Module, example: torch.Tensor, images: int) -> Any:
    return SimpleNamespace(model=model, example=(example,), train=range(images))


def test_the_largest_output_is_in_bytes_and_of_one_image() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(128, 5))
    task = of(model, torch.zeros(1, 3, 4, 4), 100)
    assert largest_output(task) == 8 * 4 * 4 * 4
    assert largest_output(of(model.double(), torch.zeros(1, 3, 4, 4).double(), 100)) == 8 * 128


@pytest.mark.parametrize(
    ("train", "size", "images"),
    [
        (100, 4, 256),  # the task has fewer and gives what it has
        (4_000, 4, 1_000),
        (1_000_000, 4, 4_096),
        (1_000_000, 2**9, 2**31 // (4 * 4 * 2**18)),
        (1_000_000, 2**10, 256),
    ],
)
def test_a_quarter_of_the_training_images_as_far_as_memory_goes(
    train: int, size: int, images: int
) -> None:
    task = of(nn.Identity(), torch.zeros(1, 1, size, size), train)
    assert images_to_train_on(task) == images


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return build_task(baseline_epochs=1, cache=tmp_path_factory.mktemp("cache"), device="cpu")


@pytest.fixture
def evaluator(task: Task) -> Evaluator:
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, (), ["l1"])
    config = SearchConfig.of(criterion="l1")
    return Evaluator(task=task, space=space, scores=scores, config=config)


def test_what_is_judged_is_repaired_on_fewer_images(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "SCORING", 300)
    candidate = Candidate(evaluator.space.uniform(0.5))
    drawn: list[int] = []
    calibration = Task.calibration
    monkeypatch.setattr(
        Task, "calibration", lambda self, n=256, **o: drawn.append(n) or calibration(self, n, **o)
    )
    evaluator.pruned(candidate, judged=True)
    evaluator.pruned(candidate)
    evaluator.pruned(candidate, "plain")
    evaluator.pruned(candidate)
    assert drawn == [256, 300]


def test_a_network_is_repaired_once_for_all_its_trainings(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Candidate] = []
    pruned = Evaluator.pruned

    def counted(self: Evaluator, candidate: Candidate, *rest: Any, **more: Any) -> nn.Module:
        made.append(candidate)
        return pruned(self, candidate, *rest, **more)

    monkeypatch.setattr(Evaluator, "pruned", counted)
    monkeypatch.setattr(evaluating, "REMEMBERED", 2)
    one, two, three = (Candidate(evaluator.space.uniform(b)) for b in (0.3, 0.5, 0.7))
    spec = TrainingSpec(0.01, 1)
    for candidate, seed in ((one, 0), (one, 1), (two, 0), (one, 2), (three, 0), (two, 1)):
        evaluator.trained(candidate, spec, seed)
    assert made == [one, two, three, two]  # the least recent one was forgotten
    fresh = replace(evaluator)
    for name, value in fresh.trained(one, spec, 1).state_dict().items():
        assert torch.equal(value, evaluator.trained(one, spec, 1).state_dict()[name])


def test_few_images_for_the_unknowns_are_told(task: Task) -> None:
    space = spaces.discover(task.model, task.example)
    assert shortage(task, space, SearchConfig.of()) == ""
    few = replace(task, train=task.train.indexable().subset(torch.arange(8)))
    told = shortage(few, space, SearchConfig.of())
    # The linear layer reads 64 channels once an image, and of 8 images 4 calibrate.
    assert told.startswith("repair has few images for")
    assert "linear.weight has 64 unknowns and 4 images give 4 equations" in told
    assert shortage(few, space, SearchConfig.of(surgery="plain")) == ""
    assert shortage(few, space, SearchConfig.of(train="scratch-e")) == ""
