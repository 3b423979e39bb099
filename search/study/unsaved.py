"""Results that are not yet in the study: they wait in the run's folder until it has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from results.record import TrialRecord
from results.store import write_text
from search.jobs import Failure, RungResult


class Unsaved:
    """One small file for each rung that was measured and not told; none without a folder.

    >>> unsaved = Unsaved(Path("runs/mine/unsaved"))
    >>> unsaved.keep(record, outcome)                      # before the study is told
    >>> unsaved.find(record, outcome.rung)
    Outcome(rung=1, ...)
    >>> unsaved.drop(record, outcome.rung)                 # the study has it

    Files are named by policy, criterion, seed and rung. So a result also serves the trial that
    another process had requeued in the meantime.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known = dict(self._read())

    def keep(self, record: TrialRecord, result: RungResult) -> None:
        """Write what the rung gave, unless it is there already.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        if self._folder is None:
            return
        self._folder.mkdir(exist_ok=True)
        name = _name(record, result.rung)
        self._known[name] = result
        write_text(self._folder / name, json.dumps(asdict(result)))

    def find(self, record: TrialRecord, rung: int) -> RungResult | None:
        """What was kept for that rung."""
        return self._known.get(_name(record, rung)) if self._known else None

    def drop(self, record: TrialRecord, rung: int) -> None:
        """Forget it; the study has it."""
        name = _name(record, rung)
        if self._folder is not None and name in self._known:
            del self._known[name]
            (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """The run has ended: whatever is left, another process has measured too."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()
        self._known.clear()

    def _read(self) -> Iterator[tuple[str, RungResult]]:
        for path in sorted(self._folder.glob("*.json")) if self._folder else ():
            with suppress(OSError, ValueError, TypeError, KeyError):  # a damaged one counts as none
                yield path.name, _outcome(json.loads(path.read_text()))


def _outcome(raw: dict[str, Any]) -> RungResult:
    failure = None if raw["failure"] is None else Failure(**raw["failure"])
    return RungResult(**raw | {"failure": failure})


def _name(record: TrialRecord, rung: int) -> str:
    return f"{record.policy.key}-{record.criterion}-{record.seed}-{record.mode}-{rung}.json"
