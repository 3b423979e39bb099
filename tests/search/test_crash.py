"""An unexpected error: one line, and the traceback in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import search
from results import TrialRecord
from search import cli
from search import log as logging
from search.cli import main
from search.errors import crash_line, keep_cause
from search.evaluation.jobs import RungResult, failure_of
from spaces import Policy
from spaces.errors import DataError

OURS = str(Path(search.__file__).with_name("broken.py"))


def raised(file: str = OURS) -> KeyError:
    """An error that a line of that file raised."""
    try:
        exec(compile(r"raise KeyError('one\ntwo')", file, "exec"))
    except KeyError as error:
        return error
    raise AssertionError


def test_the_traceback_goes_to_the_end_of_the_runs_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("before\n")
    line = crash_line(raised(), log)
    assert "\n" not in line
    assert line == (
        f"internal error: KeyError: 'one\\ntwo'; the traceback is in {log}; please report it"
    )
    assert log.read_text().startswith("before\nTraceback (most recent call last):\n")


def test_without_a_log_the_traceback_is_in_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    line = crash_line(raised(), tmp_path / "none" / "log.txt")
    (file,) = tmp_path.iterdir()
    assert str(file) in line
    assert f'File "{OURS}", line 1' in file.read_text()


def test_where_nothing_can_be_written_the_line_comes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert "its traceback could not be kept (FileNotFoundError" in crash_line(raised())


def test_a_command_that_breaks_ends_with_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken = {}
    exec(compile("def report(_): return {}['x']", OURS, "exec"), broken)
    monkeypatch.setitem(cli.COMMANDS, "report", broken["report"])
    assert main(["report"]) == 1
    shown = capsys.readouterr().err
    assert re.fullmatch(r"internal error: KeyError: 'x'; the traceback is in .*\n", shown)


def test_a_model_that_ends_the_process_is_known_from_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends(_arguments: object) -> int:
        raise SystemExit(3)

    monkeypatch.setitem(cli.COMMANDS, "report", ends)
    assert main(["report"]) == 1
    said = "stopped: the model or the data must return, but called sys.exit(3); mend that\n"
    assert capsys.readouterr().err == said


def test_what_the_users_own_code_raised_is_not_called_a_bug_of_ours(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.touch()
    said = f"stopped: the traceback is in {log}; the model or the data failed with KeyError: "
    assert (
        crash_line(raised("/home/me/nets.py"), log)
        == f"{said}'one\\ntwo' (/home/me/nets.py, line 1)"
    )


def test_the_cause_of_a_users_error_is_kept_in_the_log_of_a_run_that_has_begun(
    tmp_path: Path,
) -> None:
    error, log = DataError("item 3 must be readable, but is not"), tmp_path / "log.txt"
    error.__cause__ = raised("/home/me/data.py")
    keep_cause(error, log)
    assert not log.exists()
    log.touch()
    keep_cause(error, log)
    assert 'File "/home/me/data.py", line 1' in log.read_text()
    assert log.read_text().endswith("DataError: item 3 must be readable, but is not\n")


def test_the_traceback_of_a_trial_that_failed_is_in_the_log(tmp_path: Path) -> None:
    failure = failure_of(raised("/home/me/nets.py"))
    assert failure.reason == r"KeyError: 'one\ntwo' (/home/me/nets.py, line 1)"
    policy = Policy({"a": 8})
    record = TrialRecord(
        number=3,
        policy=policy,
        origin="l1",
        flops=1,
        flops_fraction=0.1,
        params=1,
        mode="finetune",
        criterion="l1",
        seed=0,
    )
    with logging.logged_to(tmp_path / "log.txt"):
        logging.measured(record, RungResult(1, 0.5, failure=failure), "here")
    first, *trace = (tmp_path / "log.txt").read_text().splitlines()
    assert f"trial 3 rung 1 on here: failed: {failure.reason}" in first
    assert '  File "/home/me/nets.py", line 1, in <module>' in trace
