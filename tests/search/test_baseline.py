"""The baseline: trained once, kept, and trained again when what is kept is of no use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search import models
from search.data import Splits, TensorSplit, load
from search.task.baseline import seeded, with_baseline
from search.task.task import Task
from search.training.loop import evaluate
from spaces.errors import ModelError

NAME = "search.task.baseline"
"""Of its logger."""

CPU = torch.device("cpu")
Make = Callable[..., tuple[nn.Module, bool]]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load("digits", train_images=256)


@pytest.fixture
def make(tmp_path: Path, splits: Splits) -> Make:
    """Ask for a baseline; whether it had to be trained is the second of what comes back."""

    def ask(**changed: Any) -> tuple[nn.Module, bool]:
        told: list[str] = []
        asked: dict[str, Any] = {"name": "digits_cnn digits", "folder": tmp_path, "epochs": 0.5}
        asked |= changed
        data, seed = asked.pop("splits", splits), asked.pop("seed", 0)
        fresh = asked.pop("fresh", partial(models.build, "digits_cnn", 10, 1))
        task = untrained(data, fresh, seed)
        done = with_baseline(task, **asked, progress=lambda what, *_: told.append(what))
        return done.model, bool(told)

    return ask


def untrained(splits: Splits, fresh: Callable[[], nn.Module], seed: int) -> Task:
    return Task(
        name="digits_cnn-digits",
        model=seeded(fresh, seed),
        fresh=fresh,
        example=(next(splits.validation.batches(1))[0],),
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        classes=splits.classes,
        device=CPU,
        seed=seed,
    )


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_is_trained_once(make: Make) -> None:
    (first, trained), (second, again) = make(), make()
    assert (trained, again) == (True, False)
    assert same(first, second)
    assert not second.training


def test_the_same_seed_gives_the_same_baseline_anywhere(make: Make, tmp_path: Path) -> None:
    torch.manual_seed(123)
    first, _ = make(folder=tmp_path / "a")
    second, trained = make(folder=tmp_path / "b")
    assert trained
    assert same(first, second)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"epochs": 0.75}, {"name": "other"}, {"sparsity": 0.01}],
    ids=lambda c: next(iter(c)),
)
def test_whatever_it_depends_on_makes_it_another(make: Make, changed: dict[str, Any]) -> None:
    first, _ = make()
    second, trained = make(**changed)
    assert trained
    assert changed.get("name") or not same(first, second)


def test_other_images_make_it_another(make: Make) -> None:
    make()
    assert make(splits=load("digits", train_images=256, seed=1))[1]


@pytest.mark.parametrize("damage", [b"", b"not a torch file"])
def test_a_damaged_file_is_trained_again_with_a_note(
    make: Make, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = make()
    [kept] = (tmp_path / "baselines").iterdir()
    kept.write_bytes(damage)
    second, trained = make()
    assert trained
    assert same(first, second)
    assert "cannot be used, training it again" in caplog.text
    assert make()[1] is False


class Explosive(nn.Module):
    """Not to be trained at any rate."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1)) * float("nan")


def test_a_model_that_cannot_be_trained_is_refused_in_one_line(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        ModelError, match=r"the loss became nan .*; mend the model, whose out"
    ) as refusal:
        make(fresh=Explosive)
    rates = re.findall(r"learning rate ([\d.]+)", str(refusal.value))
    assert rates == ["0.05", "0.005", "0.0005"]
    assert caplog.records == []
    assert not (tmp_path / "baselines").exists()


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda x: x * 1e30, r"or normalise the images, whose values reach [\d.]+e\+30"),
        (lambda x: x / 0, "; mend the training images, some of which are NaN or infinite"),
    ],
)
def test_what_is_wrong_with_the_images_is_said_where_no_rate_serves(
    splits: Splits, tmp_path: Path, change: Callable[[Tensor], Tensor], advice: str
) -> None:
    train = splits.train
    assert isinstance(train, TensorSplit)
    images = torch.rand(train.images.shape)
    broken = replace(splits, train=replace(train, images=change(images)))
    with pytest.raises(ModelError, match=f"{advice}$"):
        with_baseline(untrained(broken, Flat, 0), "a", tmp_path, 1)


class Flat(nn.Module):
    """A linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


class Unkind(nn.Module):
    """Fails in train mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise LookupError("no\nlabels")
        return self.linear(x.flatten(1))


def test_what_the_model_raises_while_it_trains_is_one_line(make: Make, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"training failed with LookupError: no \(.*\); try a forward"
    ):
        make(fresh=Unkind)
    assert not (tmp_path / "baselines").exists()


class Activated(nn.Module):
    """The same weights, whatever the activation."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.activation = nn.Linear(64, 8), nn.Linear(8, 10), activation

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.activation(self.first(x.flatten(1))))


class Branching(Activated):
    """Cannot be traced: it looks at the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if bool(x.sum() >= 0) else super().forward(-x)


def test_another_activation_is_another_baseline(make: Make, tmp_path: Path) -> None:
    first, _ = make(fresh=partial(Activated, torch.relu))
    second, trained = make(fresh=partial(Activated, torch.tanh))
    assert trained
    assert not same(first, second)
    again, trained = make(fresh=partial(Activated, torch.relu))
    assert not trained
    assert same(first, again)
    assert len(list((tmp_path / "baselines").iterdir())) == 2


def test_one_that_cannot_be_traced_is_kept_too(make: Make) -> None:
    make(fresh=partial(Branching, torch.relu))
    assert make(fresh=partial(Branching, torch.relu))[1] is False


class Extra(Activated):
    """Has a state that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"calls": 3}


def test_a_state_that_is_no_tensor_is_no_hindrance(make: Make) -> None:
    model, trained = make(fresh=partial(Extra, torch.relu))
    assert trained
    assert model.state_dict()["_extra_state"] == {"calls": 3}


def test_it_learns(make: Make, splits: Splits) -> None:
    model, _ = make(epochs=10)
    assert evaluate(model, splits.validation) > 0.8
