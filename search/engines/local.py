"""The local engine: this machine, one trial at a time or several in processes of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from results.record import TrialRecord
from results.rules import next_rung
from search import log
from search.engines.workers import DIED, Job, Pool, Processes, Result, warm_up
from search.errors import SearchStopped
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult, TrainingJob, TrainingResult
from search.study.ledger import PATIENCE, Ledger
from search.study.peers import OpenStudy, Watch
from search.time_limit import NO_LIMIT, TimeLimit


class Local:
    """Runs trials here; see ``search.engines.Engine``.

    With one worker everything happens in this process, in an order that depends on the seed
    alone. With more, every worker is a process with one torch thread that receives the task once
    and then one job at a time.
    """

    def __init__(self, workers: int = 1) -> None:
        self.at_once = workers
        if workers > 1:
            warm_up()

    @property
    def threads(self) -> int:
        return torch.get_num_threads() if self.at_once == 1 else 1

    def run(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Watch,
        limit: TimeLimit = NO_LIMIT,
    ) -> None:
        """As `Engine.run`: until the study has ``trials`` trials."""
        ledger = Ledger(opened, evaluator, trials, watch, limit)
        host = socket.gethostname()
        with self._pool(partial(next_rung_measured, evaluator), next_rung_lost) as pool:
            for record, result in pool.results(ledger.next):
                log.measured(record, result, host)
                record = ledger.add(record, result)
                if ledger.goes_on(record):
                    pool.begin(record)

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """As `Engine.train`.

        Raises:
            SearchStopped: three workers in a row died.
        """
        if not jobs:
            return
        waiting, deaths = iter(jobs), 0
        with self._pool(evaluator.train_final, _untrained) as pool:
            for job, result in pool.results(lambda: next(waiting, None)):
                yield job, result
                failure = result.failure
                deaths = deaths + 1 if failure is not None and failure.kind == DIED else 0
                if failure is not None and deaths == PATIENCE:
                    why = failure.reason
                    raise SearchStopped(f"{PATIENCE} final trainings in a row failed: {why}")

    def _pool(
        self, run: Callable[[Job], Result], failed: Callable[[Job, Failure, float], Result]
    ) -> Pool[Job, Result]:
        return Pool(run) if self.at_once == 1 else Processes(self.at_once, run, failed)


def next_rung_measured(evaluator: Evaluator, record: TrialRecord) -> RungResult:
    """The result of a trial's next rung."""
    return evaluator.evaluate_rung(record.candidate, next_rung(record), record.seed)


def next_rung_lost(record: TrialRecord, failure: Failure, seconds: float) -> RungResult:
    """The same, if the worker died over it."""
    return RungResult(next_rung(record), seconds, failure=failure)


def _untrained(_job: TrainingJob, failure: Failure, seconds: float) -> TrainingResult:
    return TrainingResult(seconds, failure=failure)
