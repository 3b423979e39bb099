"""The run's log, ``log.txt``: where and when each rung of each trial was measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from results.record import TrialRecord
from search.trial import FinalJob, FinalOutcome, Outcome

_logger = logging.getLogger("search")


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """What the search logs goes to the end of ``path`` too, while the block lasts.

    >>> with logged_to(folder.path / "log.txt"):
    ...     engine.run(study, climb, 48, log.watched)
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


def measured(record: TrialRecord, outcome: Outcome, where: str) -> None:
    """One line: trial, rung, node, what came out, and the policy."""
    _logger.info(
        "trial %d rung %d on %s: %s in %.1f s; policy %s",
        record.number,
        outcome.rung,
        where,
        _said(outcome),
        outcome.seconds,
        record.policy.to_json(),
    )


def trained(job: FinalJob, outcome: FinalOutcome) -> None:
    """One line for a training of a comparison; the seed, the source and the policy name it."""
    said = outcome.failure.reason if outcome.failure else f"accuracy {outcome.val_accuracy:.4f}"
    _logger.info(
        "trained %s for %d epochs with seed %d: %s in %.1f s; policy %s",
        "from scratch" if job.training and job.training.scratch else job.source or "inherited",
        outcome.epochs,
        job.seed,
        said,
        outcome.seconds,
        job.policy.to_json(),
    )


def watched(record: TrialRecord) -> None:
    """One line for a trial that has ended."""
    if record.state != "running":
        _logger.info("trial %d %s %s", record.number, record.state, record.reason)


def _said(outcome: Outcome) -> str:
    if outcome.failure is not None:
        return f"failed: {outcome.failure.reason}"
    if outcome.rung == 0:
        return ", ".join(f"{name} {score:.4g}" for name, score in outcome.proxies.items())
    return f"accuracy {outcome.accuracy:.4f}"
