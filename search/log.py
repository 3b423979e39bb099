"""The run's log, ``log.txt``: where and when each rung of each trial was measured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from results.record import TrialRecord
from results.training import TrainingRecord
from search.evaluation.jobs import Failure, RungResult

_logger = logging.getLogger("search")


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append what the search logs to ``path`` while the block lasts."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    level = _logger.level
    _logger.setLevel(logging.INFO)
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)
        handler.close()


@contextmanager
def shown_by(say: Callable[[str], None]) -> Iterator[None]:
    """Say what the search logs while the block lasts, with the time of day."""
    handler = _Saying(say)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)


class _Saying(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(self.format(record))


def measured(record: TrialRecord, result: RungResult, where: str) -> None:
    """One line: trial, rung, node, result and policy; and the traceback of what went wrong."""
    rung = f"trial {record.number} rung {result.rung} on {where}: {_summary(result)}"
    _logger.info(f"{rung} in {result.seconds:.1f} s; policy {record.policy.to_json()}")
    _trace(result.failure)


def trained(record: TrainingRecord, failure: Failure | None) -> None:
    """One line for a training that is done or failed, and the traceback of what went wrong."""
    spec, policy = record.spec, record.candidate.policy.to_json()
    how = "from scratch" if spec.scratch else record.candidate.criterion
    what = f"trained {how} for {record.purpose}, {spec.epochs} epochs with seed {record.seed}"
    result = record.reason or f"accuracy {record.val_accuracy:.4f}"
    _logger.info(f"{what}: {result} in {record.seconds:.1f} s; policy {policy}")
    _trace(failure)


def ended(record: TrialRecord) -> None:
    """One line for a trial that has ended."""
    if record.state != "running":
        _logger.info(f"trial {record.number} {record.state} {record.reason}")


def _trace(failure: Failure | None) -> None:
    if failure is not None and failure.trace:
        _logger.info(failure.trace.rstrip())


def _summary(result: RungResult) -> str:
    if result.failure is not None:
        return f"failed: {result.failure.reason}"
    if result.rung == 0:
        return ", ".join(f"{name} {score:.4g}" for name, score in result.proxies.items())
    return f"accuracy {result.accuracy:.4f}"
