"""Lists of names, and of runs: what there is, at a glance."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import prune_ops
from search import commands
from search.cli import COMMANDS, main
from search.overview import LISTS, listed_names, overview

SMALL = (
    "--trials 3 --starts l1 --proxies predicted_damage --rank-by predicted_damage --rungs 1 "
    "--final-epochs 1 --final-seeds 2 --repeats 0 --no-gains --train-images 200 --lr 0.01"
)


def test_every_command_that_is_read_is_done() -> None:
    assert commands.COMMANDS.keys() == COMMANDS.keys() | {"search"}


@pytest.mark.parametrize("what", [name for name in LISTS if name != "models"])
def test_every_name_of_a_list_has_a_line(what: str) -> None:
    listed = listed_names(what)
    assert listed
    width = max(map(len, listed))
    for about in listed.values():
        assert re.fullmatch(r"[A-Za-z0-9_ .,:;()<>/'+-]+", about)  # words, no formulas
        assert width + 2 + len(about) <= 80


def test_criteria_are_listed_as_the_option_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "criteria"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(prune_ops.CRITERIA)
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(LISTS)


def test_where_nobody_reads_on_it_ends_without_a_word() -> None:
    command = [sys.executable, "search.py", "list", "models"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(timeout=300) == 141
    assert said.splitlines() == ["list: loading torch"]


def test_what_is_not_listed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "criterion"]) == 2
    assert "unknown list 'criterion', did you mean 'criteria'?" in capsys.readouterr().err


def test_runs_are_listed_with_their_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--runs-dir", str(tmp_path)]
    assert main(["runs", *where]) == 2
    assert "--runs-dir must hold runs" in capsys.readouterr().err
    assert main(["--name", "first", *where, *SMALL.split()]) == 0
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    (tmp_path / "second" / "finished").unlink()
    shutil.copytree(tmp_path / "first", tmp_path / "third")
    (tmp_path / "third" / "study.db").unlink()
    capsys.readouterr()
    assert main(["runs", *where]) == 0
    shown = capsys.readouterr().out
    first, second, third = sorted(overview(tmp_path), key=lambda run: run.name)
    assert first.state.startswith("finished, 3 trials, digits_small-digits, 20")
    assert second.state.startswith("unfinished, 3 of 3 trials")
    assert third.state.startswith("cannot be read: ")
    assert len(first.verdicts) == 1
    assert second.verdicts == (f"so far: {first.verdicts[0]}",)
    assert f"  {first.verdicts[0]}" in shown
    assert f"  {second.verdicts[0]}" in shown
