"""``scripts/gpu``: parts that fail, hang or cannot be run stop no other, and all is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from waiting import PATIENCE

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "gpu"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("gpu")


def test_every_part_is_told_of_whatever_becomes_of_the_others(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(name: str, code: str, seconds: float = 60.0, **more: Any) -> Any:
        return gpu.Part(name, seconds, [sys.executable, "-c", code], **more)

    hangs = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'input()']); "
    chosen = [
        part("fails", "print('once'); raise ValueError('no')"),
        part("hangs", hangs + "print('figures: {\"x\": 1}', flush=True); time.sleep(600)", 2.0),
        part("lacks", "print('never')", lacks="ray not installed"),
        part("measures", 'print(\'figures: {"ratio": 2.5, "reason": "none"}\'); print(\'end\')'),
        part("silent", "pass"),
    ]
    began = time.monotonic()
    outcomes = gpu.run(chosen, tmp_path, 480.0)
    assert time.monotonic() - began < PATIENCE
    gpu.write(outcomes, tmp_path, "here")
    told = [(o.part, o.state, o.reason) for o in outcomes]
    assert told == [
        ("fails", "failed", "exit code 1: ValueError: no"),
        ("hangs", "failed", "stopped after 2 s"),
        ("lacks", "not run", "ray not installed"),
        ("measures", "done", ""),
        ("silent", "done", ""),
    ]
    assert [o.figures for o in outcomes[1:4]] == [{"x": 1}, {}, {"ratio": 2.5, "reason": "none"}]
    rows = json.loads((tmp_path / "figures.json").read_text())["parts"]
    assert [(row["part"], row["state"], row["reason"]) for row in rows] == told
    summary = (tmp_path / "summary.md").read_text()
    assert "- lacks: not run: ray not installed" in summary
    said = capsys.readouterr().out
    assert all(
        f"{name}: {state}" in said and f"{name}: {state}" in summary for name, state, _ in told
    )
    assert "once" in (tmp_path / "fails.txt").read_text()


def test_what_comes_when_the_time_is_over_is_not_run(gpu: ModuleType, tmp_path: Path) -> None:
    late = gpu.Part("late", 60.0, [sys.executable, "-c", "pass"])
    (outcome,) = gpu.run([late], tmp_path, 0.0)
    assert (outcome.state, outcome.reason) == ("not run", "the 0 s were over")


def test_the_parts_together_end_in_time(gpu: ModuleType) -> None:
    parts = gpu.parts("cuda", small=False)
    assert [part.name for part in parts][:2] == ["tests", "trial"]
    assert parts[-1].name == "search"
    assert gpu.SECONDS <= 480
    assert max(part.seconds for part in parts) < gpu.SECONDS / 2


def test_the_tests_of_a_gpu_are_those_with_variants_of_a_device(gpu: ModuleType) -> None:
    (tests,) = [part for part in gpu.parts("cuda", small=False) if part.name == "tests"]
    for name in ("contracts/test_criteria.py", "search/test_capture.py"):
        assert f"tests/{name}" in tests.command
    lines = ["tests/a.py::test[cuda-a b] PASSED [ 50%]", "tests/a.py::test FAILED [100%]", "FAILED"]
    assert gpu._figures(lines) == {"passed": 1, "failed": 1}


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PYTHON": sys.executable}
    done = subprocess.run(
        [SCRIPT, "--out", tmp_path], env=os.environ | hidden, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: scripts/gpu needs a GPU, but torch ")
    assert list(tmp_path.iterdir()) == []


def test_it_measures_on_the_cpu_at_its_smallest(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT, "--device", "cpu", "--small", "--parts", "trial", "--out", tmp_path],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + (tmp_path / "trial.txt").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"trial.txt", "figures.json", "summary.md"}
    (row,) = json.loads((tmp_path / "figures.json").read_text())["parts"]
    assert row["figures"]["not replayed"] == "none"
    assert row["figures"]["replayed to anew"] > 0
