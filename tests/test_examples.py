"""Every example is a task that holds together, is found again by its name, and is searched."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import results
import spaces
from search.cli import main
from search.task.fit import check_task

EXAMPLES = sorted(path.stem for path in (Path(__file__).parents[1] / "examples").glob("*.py"))
OWN_LOOP = ("own_loop", "yolo")
"""Whose task has a training loop, with a learning rate of its own."""
NEEDS = {"yolo": "ultralytics"}
"""What an example cannot be imported without."""
QUICK = "--trials 3 --rungs 1 --repeats 0 --final-epochs 1 --final-seeds 1 --no-gains --name mine"


def example(name: str) -> ModuleType:
    """The module, where what it needs is installed."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return import_module(f"examples.{name}")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ultralytics leaves its settings here, and looks for nothing elsewhere."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "True")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_searched_as_it_says(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = example(name).__doc__ or ""
    command = f"--task examples.{name}:task"
    assert f"python search.py {command} --budget " in text
    budget = text.partition(f"{command} --budget ")[2].split()[0]
    rate = [] if name in OWN_LOOP else ["--lr", "0.01"]
    named = [*command.split(), "--budget", budget, *rate, *QUICK.split()]
    assert main([*named, "--runs-dir", str(tmp_path)]) == 0
    run = results.load(tmp_path / "mine")
    assert run.provenance.metric.name in capsys.readouterr().out
    assert all(record.flops_fraction <= float(budget) for record in run.records)
    assert {final.role for final in run.finals} >= {"baseline", "uniform"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_holds_together_and_can_be_cut_to_half(name: str) -> None:
    task = example(name).task()
    check_task(task)
    space = spaces.discover(task.model, task.example)
    assert space.flops(space.uniform(0.5)) <= space.full_flops / 2
