"""The run's log, ``log.txt``: where and when each rung of each trial was measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results.record import TrialRecord
from results.training import TrainingRecord
from search.evaluation.jobs import RungResult

_logger = logging.getLogger("search")


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append what the search logs to ``path`` while the block lasts.

    >>> with logged_to(folder.path / "log.txt"):
    ...     engine.run(study, evaluator, 48, log.ended)
    """
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


def measured(record: TrialRecord, result: RungResult, where: str) -> None:
    """One line: trial, rung, node, result and policy."""
    _logger.info(
        "trial %d rung %d on %s: %s in %.1f s; policy %s",
        record.number,
        result.rung,
        where,
        _summary(result),
        result.seconds,
        record.policy.to_json(),
    )


def trained(record: TrainingRecord) -> None:
    """One line for a training that is done or failed."""
    spec = record.spec
    _logger.info(
        "trained %s for %s, %d epochs with seed %d: %s in %.1f s; policy %s",
        "from scratch" if spec.scratch else record.candidate.criterion,
        record.purpose,
        spec.epochs,
        record.seed,
        record.reason or f"accuracy {record.val_accuracy:.4f}",
        record.seconds,
        record.candidate.policy.to_json(),
    )


def ended(record: TrialRecord) -> None:
    """One line for a trial that has ended."""
    if record.state != "running":
        _logger.info("trial %d %s %s", record.number, record.state, record.reason)


def _summary(result: RungResult) -> str:
    if result.failure is not None:
        return f"failed: {result.failure.reason}"
    if result.rung == 0:
        return ", ".join(f"{name} {score:.4g}" for name, score in result.proxies.items())
    return f"accuracy {result.accuracy:.4f}"
