"""What happens in a run, told to its loggers: the first of them writes ``log.txt``.

Whoever does something worth telling calls ``measured``, ``ended`` or ``trained`` here.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.metric import ACCURACY, MetricInfo
from results.record import TrialRecord
from results.training import TrainingRecord
from search.evaluation.jobs import Failure, RungResult
from search.loggers.logger import BegunRun, Logger
from spaces.errors import blamed

if TYPE_CHECKING:
    from results.run import Run

_logger = logging.getLogger("search")


class TextLog(Logger):
    """A line for each event, to Python's own logging: `logged_to` has a file of it."""

    _metric = ACCURACY

    def begin(self, run: BegunRun) -> None:
        """What networks are judged by."""
        self._metric = run.about.metric

    def rung(self, record: TrialRecord, result: RungResult, where: str) -> None:
        """Trial, rung, machine, result and policy."""
        rung = (
            f"trial {record.number} rung {result.rung} on {where}: {_summary(result, self._metric)}"
        )
        _logger.info(f"{rung} in {result.seconds:.1f} s; policy {record.policy.to_json()}")

    def trial(self, record: TrialRecord) -> None:
        """How it ended, and why."""
        _logger.info(f"trial {record.number} {record.state} {record.reason}")

    def training(self, record: TrainingRecord, number: int) -> None:  # noqa: ARG002
        """How and what for, result and policy."""
        spec, policy = record.spec, record.candidate.policy.to_json()
        how = "from scratch" if spec.scratch else record.candidate.criterion
        what = f"trained {how} for {record.purpose}, {spec.epochs} epochs with seed {record.seed}"
        result = record.reason or _reached(record.val_accuracy, self._metric)
        _logger.info(f"{what}: {result} in {record.seconds:.1f} s; policy {policy}")


class Audience:
    """The loggers of a run; one that raises is told nothing more.

    Args:
        waiting: are told from `begin` on.
        say: called with a line about a logger that raised.
    """

    def __init__(
        self, waiting: Sequence[Logger] = (), say: Callable[[str], object] = _logger.warning
    ) -> None:
        self._waiting, self._say = tuple(waiting), say
        self._told: list[Logger] = [TextLog()]
        self._warned: set[str] = set()

    def begin(self, run: BegunRun) -> None:
        """Tell those that wait that the run begins, and from then on everything."""
        self._told += self._waiting
        self._waiting = ()
        self.tell("begin", run)

    def tell(self, event: str, *facts: Any) -> None:
        """Call the method of that name of every logger."""
        for logger in tuple(self._told):
            try:
                getattr(logger, event)(*facts)
            except (Exception, SystemExit) as error:  # it is anybody's, and so is what it raises
                self._told.remove(logger)
                self._warn(logger, event, error)

    def warn_once(self, line: str) -> None:
        """Log and say a line, unless it was."""
        if line not in self._warned:
            self._warned.add(line)
            _logger.info(line)
            self._say(line)

    def _warn(self, logger: Logger, event: str, error: BaseException) -> None:
        line = (
            f"the logger {type(logger).__name__} failed in {event!r} with {blamed(error)}: it is "
            "told nothing more, the run goes on"
        )
        _logger.info(f"{line}\n{''.join(traceback.format_exception(error)).rstrip()}")
        self._say(f"warning: {line}")


_audience = Audience()


@contextmanager
def told_to(loggers: Sequence[Logger], say: Callable[[str], object]) -> Iterator[None]:
    """Tell these loggers too, from `begun` on, and close them at the end of the block."""
    global _audience
    before, _audience = _audience, Audience(loggers, say)
    try:
        yield
    finally:
        _audience.tell("close")
        _audience = before


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


def begun(run: BegunRun) -> None:
    """The run begins or is gone on with."""
    _audience.begin(run)


def measured(record: TrialRecord, result: RungResult, where: str) -> None:
    """A rung was measured; the traceback of what went wrong goes to the log file alone."""
    _audience.tell("rung", record, result, where)
    _trace(result.failure)
    not_replayed(result.not_replayed)


def ended(record: TrialRecord) -> None:
    """A trial has ended; nothing is told of one that has not."""
    if record.state != "running":
        _audience.tell("trial", record)


def trained(record: TrainingRecord, number: int, failure: Failure | None) -> None:
    """A training is done or failed; as ``measured``."""
    _audience.tell("training", record, number)
    _trace(failure)


def not_replayed(reason: str) -> None:
    """Training steps are launched one by one, if there is a reason; of each a run tells once."""
    if reason:
        _audience.warn_once(
            "warning: training steps are launched one by one, which takes longer than replaying "
            f"them from a CUDA graph: {reason}"
        )


def finished(run: Run) -> None:
    """The work is done and the report written."""
    _audience.tell("end", run)


def _trace(failure: Failure | None) -> None:
    if failure is not None and failure.trace:
        _logger.info(failure.trace.rstrip())


def _summary(result: RungResult, metric: MetricInfo) -> str:
    if result.failure is not None:
        return f"failed: {result.failure.reason}"
    if result.rung == 0:
        return ", ".join(f"{name} {score:.4g}" for name, score in result.proxies.items())
    return _reached(result.accuracy, metric)


def _reached(score: float, metric: MetricInfo) -> str:
    """``accuracy 0.9545``: shares as fractions, whatever they are shown as elsewhere."""
    if metric.percent:
        return f"{metric.name} {metric.sign * score:.4f}"
    return f"{metric.name} {metric.with_unit(score)}"
