"""Ctrl-C that is not lost: torch has callbacks in which Python drops it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

AGAIN_SECONDS = 0.05
"""How long after it was dropped the interrupt is raised again; the callback is over then."""


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Raise a ``KeyboardInterrupt`` that Python had to ignore again, soon afterwards.

    While networks are copied and cut, most interrupts come in a callback of ``torch.utils.weak``.
    Python would print "Exception ignored in" and the search would go on.
    """
    default, main = sys.unraisablehook, threading.main_thread().ident

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            default(unraisable)
            return
        again = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, [main, signal.SIGINT])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = default
