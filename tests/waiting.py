"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import results
from spaces import UserError

if TYPE_CHECKING:
    from commands import Command

PATIENCE = 900.0
"""Seconds after which a process that was started hangs, however busy the machine is."""


def wait_for(condition: Callable[[], bool], process: Command | None = None) -> None:
    """Return as soon as it holds; the process, if one is given, must live until then."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        over = process is not None and process.poll() is not None
        if condition():
            return
        if over and process is not None:
            raise AssertionError(f"it ended with {process.returncode} before: {process.errors}")
        time.sleep(0.02)
    raise AssertionError("never came true")


def wait_until(
    folder: Path,
    reached: Callable[[results.Run], bool],
    process: Command | None = None,
    storage: str | None = None,
) -> None:
    """Return as soon as the run in the folder, or in a database, has got there."""
    seen = None

    def there() -> bool:
        nonlocal seen
        written = _written(folder)
        if storage is None and written == seen:
            return False  # reading it all the time would take a core from who writes it
        seen = written
        try:
            return reached(results.load(folder, storage))
        except UserError:
            seen = None  # there is no run yet
            return False

    wait_for(there, process)


def _written(folder: Path) -> dict[str, tuple[int, int]]:
    """When its study was last written to, and how long it is."""
    files = {file.name: file for file in folder.glob("study.db*") if file.suffix != ".db-shm"}
    try:
        stats = {name: file.stat() for name, file in files.items()}
    except FileNotFoundError:
        return {}  # it came or went this moment
    return {name: (each.st_mtime_ns, each.st_size) for name, each in stats.items()}
