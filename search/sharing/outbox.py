"""Results that are not yet in the study: they wait in the run's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from results.record import TrialRecord
from results.store import write_text
from search.evaluation.jobs import Failure, RungResult
from search.study.peers import Outbox


class FolderOutbox(Outbox):
    """One small file for each rung that was measured and is not yet in the study.

    Files are named by policy, criterion, seed, mode and rung. So a result also serves when another
    process has requeued the trial under a new number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results = dict(self._read())

    def keep(self, record: TrialRecord, result: RungResult) -> None:
        self._folder.mkdir(exist_ok=True)
        name = _name(record, result.rung)
        self._results[name] = result
        write_text(self._folder / name, json.dumps(asdict(result)))

    def find(self, record: TrialRecord, rung: int) -> RungResult | None:
        return self._results.get(_name(record, rung)) if self._results else None

    def drop(self, record: TrialRecord, rung: int) -> None:
        name = _name(record, rung)
        if name in self._results:
            del self._results[name]
            (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder; another process has measured what is left in it."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder)
            self._results.clear()

    def _read(self) -> Iterator[tuple[str, RungResult]]:
        for path in sorted(self._folder.glob("*.json")):
            # A damaged file counts as none.
            with suppress(OSError, ValueError, TypeError, KeyError):
                raw = json.loads(path.read_text())
                failure = None if raw["failure"] is None else Failure(**raw["failure"])
                yield path.name, RungResult(**raw | {"failure": failure})


def _name(record: TrialRecord, rung: int) -> str:
    return f"{record.policy.key}-{record.criterion}-{record.seed}-{record.mode}-{rung}.json"
