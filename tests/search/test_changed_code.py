"""The code of the model changes between two commands: another activation is another network."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

import results
from results import TrialRecord, opening
from search import log
from search.cli import main
from search.study.network import NETWORK

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3)
        self.norm, self.fc = nn.BatchNorm2d(16), nn.Linear(16, classes)

    def forward(self, x):
        x = self.conv2(torch.ACTIVATION(self.norm(self.conv1(x))))
        return self.fc(torch.ACTIVATION(x).mean((2, 3)))

def net(num_classes):
    return Net(num_classes)
"""

OPTIONS = ["--model", "their_net:net", "--criterion", "l1", "--starts", "l1", "--trials", "4"]
OPTIONS += [
    "--train-images",
    "128",
    "--rungs",
    "1",
    "--final-epochs",
    "1",
    "--final-seeds",
    "1",
    "--lr",
    "0.005",
]

Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the model's code with an activation, as if for a new process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files of one second look alike

    def code(activation: str) -> None:
        (tmp_path / "their_net.py").write_text(SOURCE.replace("ACTIVATION", activation))
        sys.modules.pop("their_net", None)

    return code


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The last command's error, which must be one line, after a discovery perhaps."""

    def read() -> str:
        lines = capsys.readouterr().err.splitlines()
        shown = [line for line in lines if not line.startswith("discovering ")]
        assert [line.startswith("error: ") for line in shown] == [True]
        return shown[0]

    return read


def baselines() -> list[str]:
    return sorted(path.name for path in Path("runs/.cache/baselines").iterdir())


def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that hears Ctrl-C after its second trial."""

    def watched(record: TrialRecord) -> None:
        if record.number == 1 and record.state == "complete":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(log, "ended", watched)
        assert main([*OPTIONS, "--name", "one"]) == 130


def test_a_run_goes_on_with_the_code_it_was_begun_with_and_no_other(
    write: Write, monkeypatch: pytest.MonkeyPatch, error: Callable[[], str], capsys
) -> None:
    write("relu")
    interrupted(monkeypatch)
    before, there = results.load(Path("runs/one")).records, baselines()
    write("tanh")
    capsys.readouterr()
    assert main(["--resume", "--name", "one"]) == 2
    said = error()
    assert "that of runs/one differs in its graph (another activation, say); restore the" in said
    assert "choose another --name" in said
    assert results.load(Path("runs/one")).records == before
    assert baselines() == there  # refused before anything was trained
    write("relu")
    assert main(["--resume", "--name", "one"]) == 0
    assert len(results.load(Path("runs/one")).records) == 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a search ran to its end, with relu."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)
        Path("their_net.py").write_text(SOURCE.replace("ACTIVATION", "relu"))
        sys.modules.pop("their_net", None)
        assert main([*OPTIONS, "--name", "one"]) == 0
    return folder


def test_a_baseline_is_of_the_code_that_it_was_trained_with(write: Write, finished: Path) -> None:
    shutil.copytree(finished / "runs", "runs")
    assert len(baselines()) == 1
    write("tanh")
    assert main([*OPTIONS, "--name", "two"]) == 0
    assert len(baselines()) == 2
    one, two = (results.load(Path("runs") / name).provenance["baseline"] for name in ("one", "two"))
    assert one["val_accuracy"] != two["val_accuracy"]


def test_a_comparison_is_of_the_code_that_was_searched(
    write: Write, finished: Path, error: Callable[[], str]
) -> None:
    shutil.copytree(finished / "runs", "runs")
    write("tanh")
    assert main(["compare", "runs/one", "--seeds", "2"]) == 2
    assert "that of runs/one differs in its graph (another activation, say)" in error()
    assert len(baselines()) == 1
    assert results.load(Path("runs/one")).compared.arms == ()


def test_a_run_of_an_older_version_goes_on_and_is_known_from_then_on(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("relu")
    interrupted(monkeypatch)
    study = Path("runs/one/study.db")
    with closing(sqlite3.connect(study)) as database, database:
        database.execute("DELETE FROM study_user_attributes WHERE key = 'network'")
    assert main(["--resume", "--name", "one"]) == 0
    assert len(results.load(Path("runs/one")).records) == 4
    with opening.open_study(study) as opened:
        assert opened.user_attrs[NETWORK]["torch"] == torch.__version__
