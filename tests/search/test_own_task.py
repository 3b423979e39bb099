"""A task of the user's own: any network and batches, with its loss and metric, as objects and by
names on the command line; what does not hold together is one line before anything is trained."""

from __future__ import annotations

import pickle
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import prune_ops
import results
import search
from results.record import ClassCounts
from search import ACCURACY, Metric, Task, build_task
from search.cli import main
from search.data.batches import PairSplit
from search.task.fit import check_task, check_teacher
from search.training.loop import on_test_split
from spaces import UserError

CPU = torch.device("cpu")
FAST = {
    **{"trials": 3, "starts": ("l1",), "criterion": "l1", "rungs": (1,), "repeats": 0},
    **{"final_epochs": 1, "final_seeds": 2, "lr": 0.01},
}

MODULE = '''
import torch
from torch import nn
from torch.utils.data import DataLoader

import search


class Two(nn.Module):
    """A regressor of an image and five numbers, called by name."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3),
            nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )
        self.numbers = nn.Sequential(nn.Linear(5, 16), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, image, numbers):
        both = torch.cat([self.image(image), self.numbers(numbers)], 1)
        return {"value": self.head(both).squeeze(1)}


def loader(items, seed, shuffle=False):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(items, 1, 8, 8, generator=generator)
    numbers = torch.randn(items, 5, generator=generator)
    value = numbers[:, 0] + numbers[:, 1].relu()
    rows = [dict(image=i, numbers=n, value=v) for i, n, v in zip(image, numbers, value)]
    return DataLoader(rows, batch_size=32, shuffle=shuffle)


def splits():
    return loader(192, 0, True), loader(64, 1), loader(64, 2)


def build():
    return Two()


def loss(outputs, batch):
    return nn.functional.mse_loss(outputs["value"], batch["value"])


def error(outputs, batch):
    return (outputs["value"] - batch["value"]).abs()


metric = search.Metric("mean absolute error", error, higher_is_better=False, unit="kg")


def task():
    train, validation, test = splits()
    parts = dict(train=train, validation=validation, test=test)
    return search.Task(model=Two().eval(), loss=loss, metric=metric, **parts)
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module with a task in it."""
    name = f"mine_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def task(mine: str) -> Task:
    torch.manual_seed(0)
    return __import__(mine).task()


def test_what_is_not_given_is_found(task: Task) -> None:
    assert task.name == "two"
    assert {name: tensor.shape for name, tensor in task.example.items()} == {
        "image": (1, 1, 8, 8),
        "numbers": (1, 5),
    }
    assert (task.device, task.classes, task.classifies) == (CPU, None, False)
    assert [len(part) for part in (task.train, task.validation, task.test)] == [192, 64, 64]


def test_halves_for_scoring_and_judging_have_no_item_in_common(task: Task) -> None:
    halves = [task.calibration(500), task.held_out(500)]
    values = [{v for _, b in half for v in b["value"].tolist()} for half in halves]
    assert [len(each) for each in values] == [96, 96]
    assert not values[0] & values[1]


def test_a_task_survives_pickling_and_stays_what_it_is(task: Task) -> None:
    again = pickle.loads(pickle.dumps(task))
    assert again.metric == task.metric
    classifier = pickle.loads(pickle.dumps(build_task(train_images=64, baseline_epochs=0.1)))
    assert classifier.counts_classes
    assert classifier.classifies


def test_it_is_searched_from_end_to_end(task: Task, tmp_path: Path) -> None:
    run = search.search(task, 0.6, runs_dir=str(tmp_path), name="mine", **FAST)
    assert [final.role for final in run.finals].count("baseline") == 1
    for final in run.finals:
        assert all(score < 0 for score in (*final.val_accuracy, *final.test_accuracy))
        assert not any(final.by_class)
    outputs = [
        task.model(b["image"], b["numbers"])["value"] - b["value"] for _, b in task.test.batches(1)
    ]
    by_hand = -float(torch.cat(outputs).detach().abs().mean())
    unpruned = next(final for final in run.finals if final.role == "baseline")
    assert unpruned.test_accuracy[0] == pytest.approx(by_hand, rel=1e-5)
    assert (tmp_path / "mine" / "report.html").is_file()


@pytest.mark.parametrize(
    "named",
    [
        ["--task", "{}:task"],
        [
            *("--model", "{}:build", "--data", "{}:splits"),
            *("--loss", "{}:loss", "--metric", "{}:metric"),
        ],
    ],
)
def test_the_command_line_reaches_the_same(mine: str, named: list[str], tmp_path: Path) -> None:
    fast = "--trials 2 --starts l1 --criterion l1 --rungs 1 --repeats 0 --final-epochs 1"
    fast += " --final-seeds 1 --lr 0.01 --no-gains --name here"
    options = fast.split()
    named = [word.format(mine) for word in named]
    assert main([*named, *options, "--runs-dir", str(tmp_path)]) == 0
    run = results.load(tmp_path / "here")
    assert len(run.records) == 2
    assert all(final.test_accuracy[0] < 0 for final in run.finals)


def test_a_run_of_a_named_task_says_how_to_load_and_export_its_networks(
    mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = "--trials 2 --starts l1 --criterion l1 --rungs 1 --repeats 0 --final-epochs 1"
    fast += " --final-seeds 1 --lr 0.01 --no-gains --name here"
    named = [*fast.split(), "--runs-dir", str(tmp_path)]
    assert main(["--task", f"{mine}:task", "--budget", "0.6", *named]) == 0
    lines = capsys.readouterr().out.partition("load it:\n")[2].partition("\n\n")[0]
    names: dict[str, Any] = {}
    whole = re.sub(r"\n(?!  )", "", lines)  # one that is longer than the terminal goes on below
    exec(textwrap.dedent(whole), names)
    example = results.load(tmp_path / "here").provenance
    assert example.fresh == "task().model"
    wanted = prune_ops.load(names["task"]().model, tmp_path / "here/models/best").eval()
    assert [*wanted.state_dict()] == [*names["model"].state_dict()]
    run = str(tmp_path / "here")
    assert main(["export", run, "--as-code"]) == 2
    assert "returns a task" in capsys.readouterr().err.splitlines()[-1]
    assert main(["export", run, "--to", "safetensors"]) == 0
    card = next((tmp_path / "here/exports").rglob("*_card.md")).read_text()
    assert "digits" not in card
    assert "mean absolute error" in card


def test_the_same_named_task_goes_on_with_the_weights_that_it_began_with(
    mine: str, tmp_path: Path
) -> None:
    """It draws them anew each time, from torch's generator."""
    fast = "--trials 2 --starts l1 --criterion l1 --rungs 1 --repeats 0 --final-epochs 1"
    fast += " --final-seeds 1 --lr 0.01 --no-gains --name here"
    named = [*fast.split(), "--runs-dir", str(tmp_path)]
    assert main(["--task", f"{mine}:task", "--budget", "0.6", *named]) == 0
    torch.rand(3)
    assert main(["--resume", "--trials", "3", "--name", "here", "--runs-dir", str(tmp_path)]) == 0
    assert len(results.load(tmp_path / "here").records) == 3


@pytest.mark.parametrize(
    "named",
    [
        ["--task", "{}:task"],
        [
            "--model",
            "{}:build",
            "--data",
            "{}:splits",
            "--loss",
            "{}:loss",
            "--metric",
            "{}:metric",
        ],
    ],
)
def test_inspect_takes_a_task(
    mine: str, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *(word.format(mine) for word in named)]) == 0
    assert "one item of 1 × 8 × 8 and 5" in " ".join(capsys.readouterr().out.split())


def measured(task: Task) -> tuple[float, ClassCounts]:
    return on_test_split(task.model, task.test, task.metric, task.classifies)


def label(outputs: Tensor, batch: Any) -> Tensor:
    return F.cross_entropy(outputs, batch[1], label_smoothing=0.1)


def test_images_and_labels_may_have_a_loss_of_ones_own() -> None:
    plain = build_task(train_images=64, baseline_epochs=0.1)
    parts = {name: getattr(plain, name) for name in ("train", "validation", "test")}
    own = Task(model=plain.model, loss=label, metric=ACCURACY, **parts)
    assert isinstance(own.train, PairSplit)
    assert not own.classifies
    check_task(own)
    assert measured(own)[0] == pytest.approx(measured(plain)[0])


def test_images_and_labels_may_be_judged_by_another_metric() -> None:
    plain = build_task(train_images=64, baseline_epochs=0.1)
    parts = {name: getattr(plain, name) for name in ("train", "validation", "test")}

    def top(outputs: Tensor, labels: Tensor) -> Tensor:
        return (outputs.topk(3).indices == labels[:, None]).any(1)

    own = Task(
        model=plain.model,
        metric=Metric("top-3 accuracy", top, unit="%", higher_is_better=True),
        **parts,
    )
    assert own.classes == 10
    assert own.classifies
    assert not own.counts_classes
    score, classes = measured(own)
    assert sum(classes.images) == len(own.test)
    assert score > measured(plain)[0]


def changed(task: Task, **fields: Any) -> Callable[[], None]:
    given = {name: getattr(task, name) for name in ("model", "train", "validation", "test")}
    given |= {"loss": task.loss, "metric": task.metric} | fields
    return lambda: check_task(Task(**given))


class Nan(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor, numbers: Tensor) -> Any:
        return {"value": self.inner(image, numbers)["value"] * float("nan")}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loss": lambda _o, _b: torch.zeros(3, requires_grad=True)}, "must return one number"),
        ({"loss": lambda o, _b: o["value"].sum().item()}, "must return one number as a tensor"),
        ({"loss": lambda o, _b: o["value"].detach().mean()}, "must depend on the weights"),
        ({"loss": lambda o, _b: o["value"].mean() * float("inf")}, "the loss must be finite"),
        ({"loss": lambda o, _b: o["logits"].mean()}, "logits"),
        (
            {"metric": Metric("m", lambda _o, _b: float("nan"), higher_is_better=True)},
            "metric 'm' must be a finite number",
        ),
        (
            {"metric": Metric("m", lambda _o, b: b["boxes"], higher_is_better=True)},
            r"metric 'm' must take .* give a metric of \(outputs, batch\) that fits them",
        ),
        (
            {"metric": "accuracy"},
            "metric must be a search.Metric, which has a name and a direction",
        ),
        ({"metric": None}, "has no metric"),
        ({"loss": lambda o, _b: o["value"].mean() * float("nan")}, "must be finite, .* it is nan"),
        ({"train": 3}, "train must be an iterable of batches"),
        ({"train": [{"text": "a"}]}, "must have a tensor among their inputs"),
    ],
)
def test_what_does_not_hold_together_is_one_line(
    task: Task, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said) as told:
        changed(task, **fields)()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("direction", [{}, {"higher_is_better": "min"}, {"higher_is_better": 1}])
def test_a_metric_without_a_direction_is_one_line(direction: dict[str, Any]) -> None:
    with pytest.raises(
        UserError, match=r"metric 'error' must have a direction, but got .*True, or"
    ):
        Metric("error", F.l1_loss, **direction)


def batches(last: dict[str, Any]) -> list[dict[str, Any]]:
    """Three as they should be, and another one."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"image": (16, 1, 8, 8), "numbers": (16, 5), "value": (16,)}
    usual = [
        {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
        for _ in range(3)
    ]
    other = {**usual[0], **last}
    return [*usual, {name: value for name, value in other.items() if value is not None}]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"value": None, "target": torch.zeros(16)}, "KeyError: 'value'"),
        ({"value": "words"}, r"there is .*value: str.* fails with "),
        ({"value": torch.zeros(5)}, r"there is .*value: \(5,\).* fails with "),
        ({"image": torch.zeros(16, 3, 8, 8)}, r"there is \{image: \(16, 3, 8, 8\).*3 channels"),
        ({"image": torch.zeros(16, 1, 8, 8).double()}, "RuntimeError|double"),
        ({"numbers": None}, "missing 1 required positional argument: 'numbers'"),
    ],
)
def test_a_batch_of_another_form_is_one_line_before_anything_is_trained(
    task: Task, part: str, last: dict[str, Any], said: str
) -> None:
    started = f"batches of {part} must be of one form, or each be taken, but besides {{image: ("
    with pytest.raises(UserError) as told:
        changed(task, **{part: batches(last)})()
    assert str(told.value).startswith(started)
    assert re.search(said, str(told.value))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "last", [{"more": torch.zeros(3)}, {"image": torch.randn(16, 1, 12, 9)}, {"note": "words"}]
)
def test_batches_of_several_forms_that_are_taken_are_fine(task: Task, last: dict[str, Any]) -> None:
    changed(task, **dict.fromkeys(("train", "validation", "test"), batches(last)))()


def test_outputs_that_are_nan_are_one_line(task: Task) -> None:
    with pytest.raises(UserError, match="the loss must be finite"):
        changed(task, model=Nan(task.model))()


def test_only_a_classifier_can_be_distilled_from(task: Task) -> None:
    with pytest.raises(UserError, match="distillation takes a classifier"):
        check_teacher(task)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--task mine", "--task must be package.module:name"),
        ("--task a:b --model resnet20", "--model is part of what --task returns"),
        ("--task a:b --train-images 9", "--train-images is part of what --task returns"),
        ("--loss a:b", "--loss a:b needs a metric"),
        ("--loss a --metric b:c", "--loss must be package.module:name"),
        ("--task os:getcwd", "must return a search.Task, but it returned str"),
        ("--metric os:getcwd", "function without arguments that returns one, but it returned str"),
        ("--metric os:sep", "must be a search.Metric, or a function"),
        (
            "--metric shutil:copy",
            'but it takes src, dst; write metric = search.Metric("name", copy, '
            "higher_is_better=True), or False, and name that",
        ),
        ("--task nowhere:task", "importing 'nowhere' failed"),
        ("--loss os:getcwd --metric search:ACCURACY --data os:getcwd", "it returned str"),
    ],
)
def test_names_that_mean_no_task_are_refused(
    options: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options.split(), "--runs-dir", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_loaders_of_ones_own_cannot_be_limited(
    mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = f"--model {mine}:build --data {mine}:splits --loss {mine}:loss --metric {mine}:metric"
    limited = [*named.split(), "--train-images", "50", "--runs-dir", str(tmp_path)]
    assert main(limited) == 2
    assert "leave --train-images out" in capsys.readouterr().err.splitlines()[-1]
