"""Ctrl-C and SIGTERM end the work in one way, and neither is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)
"""The signals that end a run, which can then be resumed: Ctrl-C, and what clusters send."""

AGAIN_SECONDS = 0.05
"""How long after it was dropped the interrupt is raised again; the callback is over then."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whatever Ctrl-C does is done, but it is called by another name."""


def name_and_code(interrupt: KeyboardInterrupt) -> tuple[str, int]:
    """What to call it, and the exit code: 128 and the number of the signal, as shells have it."""
    if isinstance(interrupt, Terminated):
        return "terminated", 128 + signal.SIGTERM
    return "interrupted", 128 + signal.SIGINT


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise `Terminated` where SIGTERM comes, while the block lasts."""
    with handling(_raise_terminated, signal.SIGTERM):
        yield


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None], *signals: int) -> Iterator[None]:
    """Have ``handler`` take these signals while the block lasts, if this is the main thread; no
    other thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if earlier is not None:  # as one is that was not set from Python
                signal.signal(number, earlier)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process with one line where Ctrl-C or SIGTERM comes, while the block lasts.

    For imports: an exception in the middle of one comes out as any other, or is only printed. A
    signal that is to be ignored, as by the shell's ``&``, still is.
    """
    heard = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    with handling(_end, *heard):
        yield


def _end(number: int, _frame: FrameType | None) -> None:
    what, code = name_and_code(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
    print(what, file=sys.stderr, flush=True)
    os._exit(code)


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Raise a ``KeyboardInterrupt`` that Python had to ignore again, soon afterwards.

    While networks are copied and cut, most interrupts come in a callback of ``torch.utils.weak``.
    Python would print "Exception ignored in" and the search would go on.
    """
    default, main = sys.unraisablehook, threading.main_thread().ident

    def hook(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            default(unraisable)
            return
        terminated = issubclass(unraisable.exc_type, Terminated)
        number = signal.SIGTERM if terminated else signal.SIGINT
        again = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, [main, number])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = default
