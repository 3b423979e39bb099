"""Task: built from names, drawn from in two halves, sent to other processes."""

from __future__ import annotations

import inspect
import pickle
import sys
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch

from search import models
from search.config import SearchConfig
from search.task.amounts import calibration_sizes
from search.task.building import build_task
from search.task.task import Task
from spaces.errors import DataError, UserError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "digits.pt"
    torch.manual_seed(0)
    torch.save(models.build("digits_cnn", 10, 1).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def task(weights: Path) -> Task:
    return build_task("digits_cnn", weights=weights, device="cpu")


def images(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> set[bytes]:
    return {image.numpy().tobytes() for inputs, _ in batches for image in inputs}


def test_it_has_what_a_search_needs(task: Task, weights: Path) -> None:
    assert task.name == "digits_cnn-digits"
    assert (task.classes, task.device) == (10, torch.device("cpu"))
    assert [len(part) for part in (task.train, task.validation, task.test)] == [603, 494, 700]
    assert not task.model.training
    assert task.model(*task.example).shape == (1, 10)
    saved = torch.load(weights, weights_only=True)
    assert torch.equal(task.model.state_dict()["conv1.weight"], saved["conv1.weight"])


def test_fresh_models_follow_the_callers_seed(task: Task) -> None:
    torch.manual_seed(7)
    first = task.fresh()
    torch.manual_seed(7)
    again, other = task.fresh(), task.fresh()
    weight = "linear.weight"
    assert torch.equal(first.get_parameter(weight), again.get_parameter(weight))
    assert not torch.equal(first.get_parameter(weight), other.get_parameter(weight))


@pytest.mark.parametrize("seed", [0, 1])
def test_calibration_and_held_out_never_share_an_image(task: Task, seed: int) -> None:
    calibration = task.calibration(images=10_000, seed=seed)
    held_out = task.held_out(images=10_000, seed=1 - seed)
    assert sum(len(y) for _, y in calibration) + sum(len(y) for _, y in held_out) == 603
    assert not images(calibration) & images(held_out)
    train = images(list(task.train.batches(2000)))
    assert images(calibration) | images(held_out) == train


def test_calibration_is_as_large_as_asked_and_drawn_by_seed(task: Task) -> None:
    first, again, other = (task.calibration(images=100, seed=seed) for seed in (0, 0, 1))
    assert [len(y) for _, y in first] == [64, 36]
    assert images(first) == images(again) != images(other)


@pytest.mark.parametrize("train", [3, 128, 129, 130, 600])
def test_the_sizes_of_calibration_batches_are_known_beforehand(task: Task, train: int) -> None:
    small = replace(task, train=task.train.subset(torch.arange(train)))
    found = [len(y) for _, y in small.calibration(300, batch_size=64)]
    assert calibration_sizes(train, 300, 64) == found


def test_it_travels_to_other_processes(task: Task) -> None:
    assert len(ForkingPickler.dumps(task)) < 50_000  # 73 kB of train images alone stay behind
    copy = pickle.loads(pickle.dumps(task))
    assert torch.equal(copy.model(*copy.example), task.model(*task.example))
    assert len(copy.train) == 603


def test_its_default_model_and_data_are_those_of_the_command_line() -> None:
    parameters = inspect.signature(build_task).parameters
    assert parameters["model"].default == SearchConfig().task.model
    assert parameters["data"].default == SearchConfig().task.data


def test_without_weights_the_baseline_is_trained(tmp_path: Path) -> None:
    told: set[str] = set()
    task = build_task(
        device="cpu",
        cache=tmp_path,
        train_images=128,
        baseline_epochs=0.5,
        progress=lambda what, *_: told.add(what),
    )
    assert told == {"training the baseline"}
    assert len(task.train) == 128
    assert len(list((tmp_path / "baselines").glob("*.pt"))) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model": "digits_cn"}, "unknown model 'digits_cn', did you mean 'digits_cnn'"),
        ({"data": "digit"}, "unknown data 'digit', did you mean 'digits'"),
        ({"weights": "/nowhere.pt"}, "weights must be a file, .* but there is none at /nowhere.pt"),
        ({"device": "gpu"}, "device must be one of auto, cpu.* but got 'gpu'"),
        ({"device": "cuda:99"}, "but got 'cuda:99'"),
    ],
)
def test_bad_names_are_told_in_one_line(asked: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_task(**asked)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.fixture
def user_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "task_models.py").write_text(
        "from torch import nn\n"
        "def seven(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))\n"
        "def colour(): return nn.Sequential(nn.Conv2d(3, 10, 8), nn.Flatten())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "task_models", raising=False)
    return "task_models"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("seven", r"must give 10 outputs, one a class of data 'digits', .* gives \(1, 7\)"),
        ("colour", r"must take images \(1, 8, 8\) of data 'digits', but it fails with"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_refused(
    user_models: str, function: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        build_task(f"{user_models}:{function}", device="cpu")
    assert "\n" not in str(caught.value)


def test_names_of_paths_are_short() -> None:
    from search.task.building import _slug

    assert _slug("resnet20-imagefolder:/data/some/cifar/") == "resnet20-imagefolder-cifar"
    assert _slug("their.models:net-digits") == "their.models-net-digits"
