"""``--dry-run``: all is checked and timed, nothing is trained, and nothing is left behind."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from search import foreseen
from search.cli import main
from search.foreseen import Foreseen, Trainings
from search.plans.finals import EXPECTED
from search.task import baseline
from search.training.trainer import Trainer
from spaces import Space

SMALL = (
    "--trials 3 --starts l1 --proxies predicted_damage --rank-by predicted_damage --sampler random "
    "--no-gains --train-images 128 --lr 0.01 --criterion l1 --surgery plain"
)
BRIEF = "--rungs 1 --final-epochs 1 --final-seeds 1 --repeats 0"
LONGER = "--rungs 1 2 --final-epochs 3 --final-seeds 2 --repeats 1"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, untrained: Path) -> Path:
    """The folder of a finished run."""
    runs = tmp_path_factory.mktemp("begun")
    assert main([*f"{SMALL} {BRIEF} --weights {untrained}".split(), *named(runs)]) == 0
    return Path(runs) / "mine"


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whatever would be trained fails."""
    if "begun" in request.fixturenames:
        request.getfixturevalue("begun")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a dry run trained a network")

    monkeypatch.setattr(Trainer, "train", never)
    monkeypatch.setattr(baseline, "_trained", never)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """What a command line prints on stdout."""

    def call(words: str) -> str:
        assert main([*words.split(), "--dry-run"]) == 0
        return capsys.readouterr().out

    return call


def named(runs: Path) -> list[str]:
    return ["--runs-dir", str(runs), "--name", "mine"]


def rows(shown: str) -> dict[str, tuple[str, str]]:
    """Kind of training → how many, and of how many epochs."""
    table = shown.partition("epochs each\n")[2].partition("\n\n")[0]
    cells = [re.split(r"  +", line.strip()) for line in table.splitlines()]
    return {kind: (number, epochs) for kind, number, epochs in cells}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_search_is_told_and_not_begun(told: Callable[[str], str], tmp_path: Path) -> None:
    shown = told(f"{SMALL} {LONGER} --workers 2 {' '.join(named(tmp_path / 'runs'))}")
    assert "blocks.0.conv1" in shown
    assert "network output" in shown
    assert "policies to try: 3\n" in shown
    assert rows(shown) == {
        "unpruned network": ("1", "40"),
        "trials at rung 1": ("about 2", "1"),  # 3 × (0.1 + 0.9 / √2) = 2.2
        "trials at rung 2": ("about 2", "2"),  # 3 × 0.74² = 1.6
        "repeats": ("about 1", "2"),
        "finals": (f"about {2 * EXPECTED}", "3"),
    }
    (time,) = re.findall(
        r"forecast: about .*? from here \(.*?\): (.*?) memory", " ".join(shown.split())
    )
    parts = (
        "training the unpruned network",
        "3 trials",
        "about 7 trainings",
        "the times and the report",
    )
    assert all(f" for {part}" in time for part in parts)
    assert re.search(r"memory(?: of the GPU)?: about [\d.]+ [MG]B in each of 3 processes", shown)
    assert re.search(r"disk: about [\d.]+ MB, [\d.]+ [GT]B are free", shown)
    assert not (tmp_path / "runs" / "mine").exists()
    assert not (tmp_path / "runs" / ".cache" / "baselines").exists()


def test_an_extension_is_told_and_the_run_stays_as_it_is(
    told: Callable[[str], str], begun: Path
) -> None:
    before = files(begun)
    shown = told(f"--resume --trials 9 --runs-dir {begun.parent} --name mine")
    assert "policies to try: 6\n" in shown
    assert rows(shown)["trials at rung 1"] == ("about 4", "1")  # 6 × 0.74
    assert files(begun) == before


def test_a_comparison_is_told_and_the_run_stays_as_it_is(
    told: Callable[[str], str], begun: Path
) -> None:
    before = files(begun)
    options = "--arms finetune --structures uniform slimming --seeds 2 --rates 0.02 0.01"
    shown = told(f"compare {begun} {options} --finetune-epochs 5 --sweep-epochs 4 --base-epochs 7")
    assert rows(shown) == {
        "sparse training": ("1", "7"),
        "sweep": ("2", "4"),
        "comparison": (f"about {2 * 2}", "5"),  # slimming's widths are not known yet
    }
    assert files(begun) == before


def test_what_is_done_is_told_as_such(space: Space) -> None:
    done = Foreseen(
        space=space,
        example=(torch.zeros(1, 1, 8, 8),),
        trials=0,
        trainings=(Trainings("finals", 0, ()),),
        time="forecast: 4 s",
        memory=2 * 10**9,
        device="cuda",
        processes=1,
        disk=3 * 10**6,
        free=2 * 10**6,
    )
    assert list(done.lines) == [
        "forecast: 4 s",
        "memory of the GPU: about 2.00 GB, as measured on a part of the work",
        "disk: about 3.00 MB, 2.00 MB are free; that is too little",
    ]
    printed = io.StringIO()
    Console(width=80, file=printed).print(foreseen.shown(done))
    assert "nothing is left to train" in {line.strip() for line in printed.getvalue().splitlines()}


def test_before_the_search_a_comparison_tells_the_search(
    told: Callable[[str], str], untrained: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "my runs"
    shown = told(
        f"compare {SMALL} {LONGER} --weights {untrained} --seeds 1 --runs-dir {tmp_path} --name it"
    )
    assert rows(shown)["finals"] == (f"about {2 * EXPECTED}", "3")
    assert shown.endswith(f"  python search.py compare {tmp_path}/it --seeds 1 --dry-run\n")
    assert not runs.exists()


def test_what_a_search_refuses_a_dry_run_refuses(
    capsys: pytest.CaptureFixture[str], begun: Path, tmp_path: Path
) -> None:
    assert main(["--dry-run", "--budget", "0.001", *named(tmp_path)]) == 2
    assert "budget must be reachable" in capsys.readouterr().err
    assert main(["--dry-run", *f"{SMALL} {BRIEF}".split(), *named(begun.parent)]) == 2
    assert "holds a finished run" in capsys.readouterr().err
    shutil.copytree(begun, tmp_path / "mine")
    (tmp_path / "mine" / "study.db").unlink()
    assert main(["--dry-run", "--resume", *named(tmp_path)]) == 2
    assert "study.db must have the trials" in capsys.readouterr().err
