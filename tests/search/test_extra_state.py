"""Networks whose state is more than tensors by name are searched, kept and saved with all of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import prune_ops
from search import build_task, cli
from search.data import load
from search.models import load_weights
from search.task.baseline import with_baseline
from search.task.task import Task
from search.training import checkpoints
from search.training.checkpoints import Checkpoint, InFolder, Saver
from search.training.loop import evaluate
from spaces import DataError
from spaces.state import set_state, state_of

CPU = torch.device("cpu")


class Follows(nn.Module):
    """Takes off a running mean that no state_dict holds, and counts calls in its extra state."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = {"training": 0}
        self.register_buffer("mean", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls["training"] += 1
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean

    def get_extra_state(self) -> dict[str, int]:
        return self.calls

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = dict(state)


class Told(nn.Flatten):
    """Gives extra state and takes none."""

    def get_extra_state(self) -> dict[str, object]:
        return {"version": 3, "classes": ["0", "1"]}


class Unsavable(nn.Flatten):
    def get_extra_state(self) -> dict[str, object]:
        return {"file": open}


def build(flatten: type[nn.Module] = Told) -> nn.Module:
    first = nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), Follows()
    return nn.Sequential(*first, nn.Conv2d(16, 16, 3), nn.ReLU(), flatten(), nn.Linear(256, 10))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's with the network."""
    made = ModuleType("extra_state_nets")
    made.build = build  # type: ignore[attr-defined]
    made.bad = lambda: build(Unsavable)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made.__name__


LINE = "--trials 2 --rungs 1 --final-epochs 1 --final-seeds 1 --repeats 0 --starts l1 --lr 0.005"


def test_a_search_from_end_to_end(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is saved has the accuracy that the search measured, and knows how it was trained."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--budget", "0.5", "--model", f"{module}:build", *LINE.split()]) == 0
    assert "Traceback" not in capsys.readouterr().err
    splits = load("digits")
    steps = (40 + 1) * (len(splits.train) // 32)
    folders = [path for path in Path("runs").glob("*/models/*") if path.name != "unpruned"]
    assert folders
    for folder in folders:
        saved = prune_ops.load(build(), folder).eval()
        info = json.loads((folder / "policy.json").read_text())["info"]
        assert evaluate(saved, splits.validation) == pytest.approx(info["val_accuracy"])
        assert saved[3].mean.item() != 0
        assert saved[3].calls["training"] == steps  # of the baseline and of one epoch
        assert load_file(folder / "model.safetensors")["pass/outputs/0"].shape == (1, 10)


def test_what_cannot_be_saved_is_refused_before_anything_is_trained(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--budget", "0.5", "--model", f"{module}:bad", *LINE.split()]) == 2
    said = capsys.readouterr().err
    assert "extra state must be tensors and plain values, but get_extra_state of 6 is a" in said
    assert "training the baseline" not in said
    assert not list(tmp_path.rglob("baselines"))


def test_a_baseline_comes_back_from_the_cache_with_all_its_state(tmp_path: Path) -> None:
    splits, told = load("digits", train_images=256), []
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    example = (next(splits.validation.batches(1))[0],)
    first, second = (
        with_baseline(
            Task(
                **{"name": "mine", "model": build(), "fresh": build, "example": example},
                **{"classes": 10, "device": CPU},
                **parts,
            ),
            *("mine", tmp_path, 1.0),
            progress=lambda *_: told.append(1),
        ).model
        for _ in range(2)
    )
    assert len(told) == first[3].calls["training"] == second[3].calls["training"] == 8
    assert torch.equal(first[3].mean, second[3].mean)
    assert first[3].mean.item() != 0


def test_weights_of_a_plain_state_dict_are_read(tmp_path: Path) -> None:
    source, target = build(), build()
    source[3].calls["training"] = 7
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert target[3].calls == {"training": 7}
    assert torch.equal(target[0].weight, source[0].weight)
    task = build_task("digits_cnn", "digits", train_images=256, baseline_epochs=0.1, cache=tmp_path)
    torch.save({**task.model.state_dict(), "a._extra_state": {}}, tmp_path / "x.pt")
    with pytest.raises(DataError, match=r"a\._extra_state is not in the model"):
        load_weights(task.model, tmp_path / "x.pt")


class Refuses(Follows):
    def set_extra_state(self, _: dict[str, int]) -> None:
        raise KeyError("version")


def test_extra_state_that_the_model_refuses_is_one_line(tmp_path: Path) -> None:
    torch.save(nn.Sequential(Refuses()).state_dict(), tmp_path / "w.pt")
    refused = r"it fails with KeyError: 'version' \(.*\); give the weights"
    with pytest.raises(DataError, match=refused):
        load_weights(nn.Sequential(Refuses()), tmp_path / "w.pt")


def test_a_training_goes_on_with_the_extra_state_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    place = Checkpoint(InFolder(tmp_path), "key")

    def saver(model: nn.Module) -> Saver:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return Saver(place, model, optimizer, "recipe", 9, CPU)

    model, other = build(), build()
    model[3].calls["training"], model[3].mean = 5, torch.ones(1)
    saver(model).save_if_due(3, 1)
    weights = list(other.parameters())
    assert saver(other).restored() == (3, 1)
    assert other[3].calls == {"training": 5}
    assert other[3].mean.item() == 1
    assert all(a is b for a, b in zip(weights, other.parameters(), strict=True))
    assert torch.equal(other[0].weight, model[0].weight)


class Versioned(nn.Module):
    """Since version 2 its scale is kept as a logarithm, which older files do not know."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def _load_from_state_dict(self, state, prefix, metadata, *rest) -> None:  # type: ignore[no-untyped-def]
        if metadata.get("version", 1) < 2:
            state[f"{prefix}scale"] = state[f"{prefix}scale"].log()
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def test_a_state_is_taken_for_one_of_the_present_version() -> None:
    model, other = Versioned(), Versioned()
    with torch.no_grad():
        model.scale.fill_(3.0)
    set_state(other, state_of(model))
    assert other.scale.item() == 3.0
