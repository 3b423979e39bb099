"""What the tests of exporting share: networks of a user's, and a run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from pictures import undrawn
from shipped import IMAGES, NETS, SOURCE, subject_of

import results
from search import search
from search.exporting.subject import Subject
from search.task.building import build_task
from search.task.task import Task


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the user's module, which can be imported."""
    folder = Path(tmp_path_factory.mktemp("theirs"))
    (folder / f"{NETS}.py").write_text(SOURCE)
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def pruned(nets: Path) -> Callable[[str], Subject]:
    """A network of the user's by the name of its class, pruned."""

    @cache
    def make(kind: str) -> Subject:
        assert str(nets) in sys.path
        torch.manual_seed(0)
        model = getattr(importlib.import_module(NETS), kind)().eval()
        model(IMAGES)
        return subject_of(model, IMAGES)

    return make


OPTIONS = {
    **{"trials": 3, "starts": ("l1",), "proxies": ("predicted_damage",), "seed": 1, "repeats": 0},
    **{"rank_by": "predicted_damage", "rungs": (1,), "final_epochs": 1, "final_seeds": 2},
    **{"lr": 0.01, "sampler": "random", "train_images": 128, "gains": False},
}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, untrained: Path) -> results.Run:
    """A finished run on digits, as a command began it."""
    runs = tmp_path_factory.mktemp("shipped")
    options = OPTIONS | {"weights": str(untrained), "runs_dir": str(runs), "name": "mine"}
    with undrawn():
        return search(budget=0.5, **options)


@pytest.fixture(scope="session")
def task(run: results.Run, untrained: Path) -> Task:
    """What the run pruned."""
    return build_task(
        "digits_small",
        weights=untrained,
        seed=1,
        train_images=128,
        device="cpu",
        cache=run.folder.parent / ".cache",
    )
