"""On how many images networks are repaired."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prune_ops
import spaces
from prune_ops.surgery.reconstruct import bytes_per_image
from results.record import Candidate
from results.training import TrainingSpec
from search.config import SearchConfig
from search.evaluation import evaluator as evaluating
from search.evaluation import repairing
from search.evaluation.evaluator import Evaluator
from search.evaluation.repairing import images_to_train_on, shortage
from search.task.building import build_task
from search.task.task import Task


class Layers(nn.Module):
    """2 → 8 channels of 4x4, then 5 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(2, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.conv(x).relu().mean((2, 3)))


def test_an_image_takes_its_largest_activations_and_the_targets_that_are_kept() -> None:
    model, example = Layers(), (torch.zeros(1, 2, 4, 4),)
    largest, kept = 8 * 16, 8 * 16 + 5  # 16 positions are fewer than are sampled
    assert bytes_per_image(model, example) == 4 * (4 * largest + kept)
    large = (torch.zeros(1, 2, 16, 16),)
    kept = 8 * 32 + 5
    assert bytes_per_image(model, large) == 4 * (4 * 8 * 256 + kept)


@pytest.mark.parametrize(
    ("train", "size", "images"),
    [
        (100, 1, 256),  # the task has fewer and gives what it has
        (4_000, 1, 1_000),
        (1_000_000, 1, 4_096),
        (1_000_000, 2**21, 2**10),
        (1_000_000, 2**30, 256),
    ],
)
def test_a_quarter_of_the_training_images_as_far_as_memory_goes(
    train: int, size: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "bytes_per_image", lambda *_: size)
    task: Any = SimpleNamespace(model=None, example=None, train=range(train))
    assert images_to_train_on(task) == images


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return build_task(
        "digits_cnn", baseline_epochs=1, cache=tmp_path_factory.mktemp("cache"), device="cpu"
    )


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
    assert shortage(task, space) == ""
    few = replace(task, train=task.train.indexable().subset(torch.arange(8)))
    told = shortage(few, space)
    # The linear layer reads 64 channels once an image, and of 8 images 4 calibrate.
    assert told.startswith("repair has few images for")
    assert "linear.weight has 64 unknowns and 4 images give 4 equations" in told
