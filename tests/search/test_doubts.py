"""Nonsense is refused before anything is trained, or warned of before the first trial and on top of
the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import results
from search import data, search
from search.cli import main
from search.config import SearchConfig
from search.data.loaders import LoaderSplit, StreamSplit
from search.data.splits import Split, TensorSplit
from search.task.doubts import check_amounts, doubts
from search.task.task import Task
from spaces import UserError

CPU = torch.device("cpu")


def split(images: int, seed: int, classes: int = 4) -> TensorSplit:
    """Random images (1, 4, 4) with every class in turn, in their first number."""
    labels = torch.arange(images) % classes
    pixels = torch.rand(images, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    pixels[:, 0, 0, 0] = labels.float()
    return TensorSplit(pixels, labels)


class Knowing(nn.Module):
    """Reads the class from the first number of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(x[:, 0, 0, 0].long(), 4).float()


def task(**changed: Any) -> Task:
    """A task of four classes about which there is no doubt, but for what is changed."""
    parts = {"train": split(200, 0), "validation": split(120, 1), "test": split(120, 2)}
    return replace(
        Task(
            name="mine",
            model=Knowing(),
            fresh=Knowing,
            example=(parts["train"].images[:1],),
            classes=4,
            device=CPU,
            **parts,
        ),
        **changed,
    )


def told(given: Task, **options: Any) -> list[str]:
    """The doubts."""
    return list(doubts(given, SearchConfig.of(**options)))


def test_numbers_beyond_what_there_is_are_told() -> None:
    said = told(task(), train_images=900, batch_size=201, repeats=9, trials=8)
    assert said == [
        "--train-images 900 is more than the 200 that there are, which are all used",
        "--batch-size 201 is more than the 200 training images: an epoch is one step",
        "--repeats 9 is more than the --trials 8, and none is trained again more than once",
    ]
    assert told(task(), train_images=200, batch_size=200, repeats=8, trials=8) == []


class Blind(nn.Module):
    """Always names class 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(x), 4)


def test_of_a_good_task_there_is_no_doubt() -> None:
    check_amounts(task())
    assert told(task()) == []


@pytest.mark.parametrize(
    ("part", "images", "words"),
    [
        ("train", 7, "at least 8 images, 2 a class, are needed to train, but there are 7; give"),
        ("validation", 9, "at least 10 images are needed to validate, but there are 9; give"),
        ("test", 1, "at least 10 images are needed to test, but there are 1; give"),
    ],
)
def test_too_few_images_are_refused(part: str, images: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_amounts(task(**{part: split(images, 3)}))


def as_items(part: TensorSplit) -> Split:
    """The same images read one by one."""
    items = TensorDataset(part.images, part.labels)
    return LoaderSplit(items, items, torch.arange(len(part)), CPU)


def as_batches(part: TensorSplit) -> Split:
    """The same images from a loader of the user's own."""
    return StreamSplit(list(part.batches(64)), CPU, len(part))


@pytest.mark.parametrize("form", [lambda part: part, as_items, as_batches])
def test_images_that_are_in_two_parts_are_noticed_however_they_are_read(form: Any) -> None:
    same = form(split(200, 0))
    both = told(task(train=same, validation=same, test=same))
    assert [line.partition(":")[0] for line in both] == [
        "200 of 200 validation images that were looked at are training images too",
        "200 of 200 test images that were looked at are training images too",
        "200 of 200 test images that were looked at are validation images too",
    ]


def test_a_few_copies_are_an_accident_of_the_data() -> None:
    train, validation = split(200, 0), split(120, 1)
    validation.images[:6] = train.images[:6]
    assert told(task(train=train, validation=validation)) == []
    validation.images[6] = train.images[6]
    (line,) = told(task(train=train, validation=validation))
    assert line.startswith("7 of 120 validation images that were looked at are training images too")


def test_classes_without_an_image_are_named() -> None:
    parts = {"train": split(200, 0, 3), "validation": split(120, 1, 2), "test": split(120, 2, 3)}
    assert told(task(**parts)) == [
        f"{which} image: accuracies do not say what pruning loses there"
        for which in (
            "class 3 has no training",
            "classes 2, 3 have no validation",
            "class 3 has no test",
        )
    ]


def test_a_network_that_has_learnt_nothing_is_noticed() -> None:
    (line,) = told(task(model=Blind()))
    assert line.startswith(
        "the unpruned network is right for 25.0 % of the validation images, and whoever always "
        "names the most frequent class for 25.0 %: it has learnt nothing"
    )


def test_outputs_that_are_nan_are_refused() -> None:
    broken = nn.Sequential(Knowing(), Unmeasured())
    with pytest.raises(UserError, match="must give numbers, but for 30 of 120 validation images"):
        told(task(model=broken))


class Unmeasured(nn.Module):
    """NaN for images of class 3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, 3:] > 0, float("nan"), x)


def test_few_images_are_said() -> None:
    assert told(task(test=split(50, 2))) == [
        "there are only 50 test images: each is 2.0 points of accuracy, and smaller differences "
        "mean nothing"
    ]


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"final_epochs": 2}, "--final-epochs 2 is less than the 3 of the last rung: the final"),
        (
            {"criterion": "l1", "train": "scratch-e"},
            "--criterion l1 chooses no weights with --train scratch-e: they are fresh; it serves",
        ),
    ],
)
def test_options_that_make_little_sense_are_said(options: dict[str, Any], begins: str) -> None:
    (line,) = told(task(), **options)
    assert line.startswith(begins)


SMALL = "--trials 1 --rungs 2 --final-epochs 1 --final-seeds 1 --repeats 0 --starts l1 --lr 0.01"


def test_the_terminal_and_the_top_of_the_report_say_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*SMALL.split(), "--train-images", "200", "--no-gains", "--sampler", "random"]
    assert main([*options, "--budget", "0.6", "--runs-dir", str(tmp_path), "--name", "mine"]) == 0
    doubt = "--final-epochs 1 is less than the 2 of the last rung: the final networks are trained "
    assert f"\nwarning: {doubt}" in f"\n{capsys.readouterr().err}"
    (kept,) = results.load(tmp_path / "mine").provenance.warnings
    assert kept.startswith(doubt)
    report = (tmp_path / "mine" / "report.md").read_text()
    assert (
        report.index("Before you believe it") < report.index(doubt) < report.index("Search against")
    )


def test_what_is_known_before_training_is_refused_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--train-images", "1", "--runs-dir", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: at least 20 images, 2 a class, are needed to train, but there a")
    assert not list((tmp_path / "runs").glob("*"))


MODULE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def ten(): return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
def splits():
    labels = torch.arange(90) % 9
    return (TensorDataset(torch.rand(90, 1, 8, 8), labels),) * 3
"""


@pytest.fixture
def nine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with data of whose ten classes nine are seen."""
    (tmp_path / "nine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "nine"


def test_there_may_be_more_classes_than_the_training_images_show(
    nine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data.load(f"{nine}:splits", classes=10).classes == 10
    given = ["--model", f"{nine}:ten", "--data", f"{nine}:splits", "--runs-dir", str(tmp_path)]
    assert main(["inspect", *given[:4]]) == 0
    assert main(given) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "must give 9 outputs, one a class of data 'nine:splits', but for one image it" in line
    assert "; say --classes 10 if there are so many, or choose another model or data" in line
    for classes in (8, 1):
        assert main([*given, "--classes", str(classes)]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_the_classes_of_other_data_can_be_more_but_not_fewer() -> None:
    assert data.load("digits", classes=12).classes == 12
    with pytest.raises(UserError, match="--classes must be at least the 10 of data 'digits', but"):
        data.load("digits", classes=9)


def test_a_size_that_the_users_data_does_not_take_is_refused(nine: str) -> None:
    with pytest.raises(UserError, match="'nine:splits' must take image_size for --image-size to"):
        data.load(f"{nine}:splits", image_size=16)


def test_a_task_of_ones_own_is_held_to_the_same(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 10 images are needed to test"):
        search(task(test=split(3, 2)), runs_dir=str(tmp_path))
