"""Ctrl-C that is not lost, wherever it comes: torch has callbacks in which Python drops it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

AGAIN_SECONDS = 0.05
"""So long after it was dropped the interrupt comes again, when the callback is over."""


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """A ``KeyboardInterrupt`` that Python could only ignore is raised again, soon afterwards.

    >>> with interrupts_heard():
    ...     engine.run(study, climb, 48, watch)

    While networks are copied and cut, most interrupts come in a callback of ``torch.utils.weak``.
    There they would be printed as "Exception ignored in" and the search would go on.
    """
    usual, main = sys.unraisablehook, threading.main_thread().ident

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            usual(unraisable)
            return
        again = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, [main, signal.SIGINT])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
