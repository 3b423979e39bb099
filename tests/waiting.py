"""Waiting for a run that another process is at work on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import results
from spaces import UserError


def wait_until(folder: Path, reached: Callable[[results.Run], bool]) -> None:
    """Return as soon as the run in the folder has got there."""
    for _ in range(6000):
        try:
            if reached(results.load(folder)):
                return
        except UserError:
            pass  # not there yet
        time.sleep(0.02)
    raise AssertionError(f"{folder} never got there")
