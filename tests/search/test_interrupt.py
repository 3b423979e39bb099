"""An interrupt in a place where Python can only ignore it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import weakref
from pathlib import Path

import pytest

from search.interrupt import Terminated, interrupts_heard, sigterm_raises

ROOT = Path(__file__).parents[2]


class Thing:
    pass


IMPORTING = """
import os, signal, sys
os.kill(os.getpid(), signal.{})
try:
    sum(range(10))
except BaseException as error:
    raise ImportError("as torch has it") from error
"""


def interrupted_in_a_callback(error: type[BaseException]) -> None:
    def callback(_: object) -> None:
        raise error

    thing = Thing()
    reference = weakref.ref(thing, callback)
    del thing
    assert reference() is None


def test_an_interrupt_that_python_ignores_comes_again() -> None:
    usual = sys.unraisablehook
    with interrupts_heard():
        interrupted_in_a_callback(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60)
    assert sys.unraisablehook is usual


def test_a_sigterm_that_python_ignores_comes_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts_heard(), sigterm_raises():
        interrupted_in_a_callback(Terminated)
        with pytest.raises(Terminated):
            time.sleep(60)
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_errors_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda about: reported.append(about.exc_type))
    with interrupts_heard():
        interrupted_in_a_callback(ZeroDivisionError)
        time.sleep(0.2)
    assert reported == [ZeroDivisionError]


@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("entry", ["search.py", "pruning-search"])
def test_a_signal_while_it_is_imported_is_one_line(
    tmp_path: Path, entry: str, signal: str, code: int
) -> None:
    """Whatever an import makes of an exception that is raised in it."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text(IMPORTING.format(signal))
    for name in ("search.py", "pruning_search.py"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "search.py"]
    if entry != "search.py":
        about = tomllib.loads((ROOT / "pyproject.toml").read_text())
        module, _, function = about["project"]["scripts"][entry].partition(":")
        assert module in about["tool"]["setuptools"]["py-modules"]
        installed = f"import sys; from {module} import {function}; sys.exit({function}())"
        command = [sys.executable, "-c", installed]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONPATH": ""}
    )
    said = {130: b"interrupted\n", 143: b"terminated\n"}[code]
    assert (ended.returncode, ended.stderr) == (code, said)


def test_what_a_shell_has_it_ignore_it_ignores(tmp_path: Path) -> None:
    """As SIGINT is for what a script runs in the background."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text(IMPORTING.format("SIGINT"))
    (tmp_path / "search" / "cli.py").write_text("main = lambda: 7")
    for name in ("search.py", "pruning_search.py"):
        shutil.copy(ROOT / name, tmp_path)
    ignoring = f"trap '' INT; exec {sys.executable} search.py"
    ended = subprocess.run(["sh", "-c", ignoring], cwd=tmp_path, capture_output=True)
    assert (ended.returncode, ended.stderr) == (7, b"")
