"""How much is said: what quiet leaves out, what verbose adds, and where a traceback can be seen."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from results import TrialRecord
from search import log
from search.callables import call
from search.cli import COMMANDS, main
from search.errors import CutShort, is_theirs
from search.evaluation.jobs import RungResult
from search.progress import Progress
from search.terminal import Terminal
from search.verbosity import Verbosity
from spaces import Policy, UserError

QUIET, USUAL, VERBOSE = Verbosity
INSPECT = ["inspect", "--model", "digits_small"]
FINDING = "discovering what can be pruned in digits_small\n"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_has_both_flags(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help-all" if command in ([], ["compare"]) else "--help"])
    shown = capsys.readouterr().out
    assert "--quiet" in shown
    assert "--verbose" in shown


def test_one_of_them_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", "--quiet", "--verbose"])
    assert capsys.readouterr().err.startswith("error: argument --verbose: not allowed with")


def test_inspect_says_what_it_does_unless_it_is_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(INSPECT) == 0
    usual = capsys.readouterr()
    assert main([*INSPECT, "--quiet"]) == 0
    assert capsys.readouterr() == (usual.out, "")
    assert usual.err == FINDING
    assert "Budgets from" in usual.out


def test_quiet_leaves_results_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    for verbosity in (QUIET, USUAL):
        terminal = Terminal(verbosity)
        terminal.result("decision")
        terminal.details("table")
        terminal.line("report: x")
        with terminal.progress() as progress:
            progress.say("forecast")
            progress.warn("warning")
        verbosity.note("loading")
    said = capsys.readouterr()
    assert said.out.split() == ["decision", "report:", "x", "decision", "table", "report:", "x"]
    assert said.err.split() == ["warning", "forecast", "warning", "loading"]


def test_a_progress_that_is_quiet_warns(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with Progress(Console(file=out, width=80), quiet=True) as progress:
        for _ in range(3):
            progress.advance("trials")
        progress.say("no")
        progress.warn("yes")
    assert out.getvalue() == "yes\n"
    assert capsys.readouterr() == ("", "")


def test_verbose_says_each_rung_as_the_log_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = TrialRecord(7, Policy({"a": 3}), "tpe", 1, 0.5, 1)
    result = RungResult(1, 2.0, accuracy=0.5, epochs=1)
    for verbosity in (USUAL, VERBOSE):
        with Terminal(verbosity).progress(), log.logged_to(tmp_path / "log.txt"):
            log.measured(record, result, "here")
    (line,) = capsys.readouterr().err.splitlines()
    logged = (tmp_path / "log.txt").read_text().splitlines()
    said = 'trial 7 rung 1 on here: accuracy 0.5000 in 2.0 s; policy {"a": 3}'
    assert [entry.endswith(f" {said}") for entry in (line, *logged)] == [True] * 3


def test_a_run_says_once_why_steps_are_not_replayed(tmp_path: Path) -> None:
    record = TrialRecord(7, Policy({"a": 3}), "tpe", 1, 0.5, 1)
    said: list[str] = []
    with log.told_to((), said.append), log.logged_to(tmp_path / "log.txt"):
        for reason in ("", "a.count changes with every step", "a.count changes with every step"):
            log.measured(record, RungResult(1, 2.0, not_replayed=reason), "here")
        log.not_replayed("a batch has a tensor on cpu")
    assert [line.rpartition(": ")[2] for line in said] == [
        "a.count changes with every step",
        "a batch has a tensor on cpu",
    ]
    logged = (tmp_path / "log.txt").read_text()
    assert [logged.count(line) for line in said] == [1, 1]


BROKEN_DATA = """\
import torch


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        if index != 17:
            return torch.zeros(1, 8, 8), index % 10
        raise ValueError("no such file")


def load():
    return Images(), Images(), Images()
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line with a model whose code raises."""
    (tmp_path / "broken_model.py").write_text("def build():\n    raise KeyError('w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_model", raising=False)
    return ["--model", "broken_model:build", "--runs-dir", str(tmp_path / "runs")]


def test_what_the_users_code_raised_before_there_is_a_log_is_shown_when_verbose(
    theirs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = "failed with KeyError: 'w' (broken_model.py, line 2)"
    assert main(theirs) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.endswith(f"{failed}; --verbose shows the traceback")
    assert main([*theirs, "--verbose"]) == 2
    *above, last = capsys.readouterr().err.splitlines()
    assert last.endswith(failed)
    assert "Traceback (most recent call last):" in above
    assert "    raise KeyError('w')" in above


def test_so_is_what_a_users_data_set_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker hands it over with its traceback as a note."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_data", raising=False)
    (tmp_path / "broken_data.py").write_text(BROKEN_DATA)
    command = ["--data", "broken_data:load", "--device", "cpu", "--runs-dir", "runs"]
    assert main(command) == 2
    usual = capsys.readouterr().err.splitlines()
    assert usual[-1].endswith("; --verbose shows the traceback")
    assert main([*command, "--verbose"]) == 2
    *above, last = capsys.readouterr().err.splitlines()
    assert last == usual[-1].removesuffix("; --verbose shows the traceback")
    assert "ValueError: no such file (broken_data.py, line 11)" in last
    assert any('raise ValueError("no such file")' in line for line in above)


def test_a_mistake_of_typing_has_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--trials", "0", "--runs-dir", str(tmp_path), "--verbose"]) == 2
    assert capsys.readouterr().err == "error: --trials must be at least 1, but got 0\n"


def test_no_hint_where_the_log_has_the_traceback_and_no_trace_of_an_interrupt(
    tmp_path: Path, theirs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as caught:
        call(theirs[1])
    error = caught.value
    assert is_theirs(error)
    assert USUAL.hint(error) == "; --verbose shows the traceback"
    assert VERBOSE.hint(error) == ""
    error.log = tmp_path / "log.txt"
    assert USUAL.hint(error) == ""
    for quiet in (KeyboardInterrupt(), CutShort("interrupted; go on with: x")):
        VERBOSE.trace(quiet)
    assert USUAL.hint(UserError("mistyped")) == ""
    assert capsys.readouterr().err == ""
