"""Waiting for a run that another process is at work on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import results
from spaces import UserError

PATIENCE = 900.0
"""Seconds after which a process that was started hangs, however busy the machine is."""


def wait_until(
    folder: Path,
    reached: Callable[[results.Run], bool],
    process: subprocess.Popen[str] | None = None,
) -> None:
    """Return as soon as the run in the folder has got there; its process must live until then."""
    end, seen = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        over = process is not None and process.poll() is not None
        written = _written(folder)
        if written != seen:  # reading it all the time would take a core from who writes it
            seen = written
            try:
                if reached(results.load(folder)):
                    return
            except UserError:
                seen = None  # not there yet
        if over and process is not None:
            code, (_, errors) = process.returncode, process.communicate()
            raise AssertionError(f"{folder} ended with {code} before it got there: {errors}")
        time.sleep(0.02)
    raise AssertionError(f"{folder} never got there")


def _written(folder: Path) -> dict[str, tuple[int, int]]:
    """When its study was last written to, and how long it is."""
    files = {file.name: file for file in folder.glob("study.db*") if file.suffix != ".db-shm"}
    try:
        stats = {name: file.stat() for name, file in files.items()}
    except FileNotFoundError:
        return {}  # it came or went this moment
    return {name: (each.st_mtime_ns, each.st_size) for name, each in stats.items()}
