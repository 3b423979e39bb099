"""An interrupt in a place where Python can only ignore it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

from search.interrupt import interrupts_heard

ROOT = Path(__file__).parents[2]


class Thing:
    pass


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


def test_other_errors_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda about: reported.append(about.exc_type))
    with interrupts_heard():
        interrupted_in_a_callback(ZeroDivisionError)
        time.sleep(0.2)
    assert reported == [ZeroDivisionError]


def test_an_interrupt_while_it_is_imported_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").write_text("raise KeyboardInterrupt")
    shutil.copy(ROOT / "search.py", tmp_path)
    ended = subprocess.run([sys.executable, "search.py"], cwd=tmp_path, capture_output=True)
    assert (ended.returncode, ended.stderr) == (130, b"interrupted\n")
