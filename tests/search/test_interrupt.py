"""An interrupt in a place where Python can only ignore it."""

from __future__ import annotations

import sys
import time
import weakref

import pytest

from search.interrupt import interrupts_heard


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
