"""An unexpected error: one line, and the traceback in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from search import cli
from search.cli import main
from search.errors import crash_line


def raised() -> KeyError:
    """An error with a traceback."""
    try:
        raise KeyError("one\ntwo")
    except KeyError as error:
        return error


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
    assert "raise KeyError" in file.read_text()


def test_where_nothing_can_be_written_the_line_comes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert "its traceback could not be kept (FileNotFoundError" in crash_line(raised())


def test_a_command_that_breaks_ends_with_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(cli.COMMANDS, "report", lambda _: {}["x"])
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
