"""The local engine: this machine, one trial at a time or several in processes of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

import torch

from results.record import TrialRecord
from search import log
from search.engines.worker_pool import (
    InProcess,
    Job,
    JobRunner,
    Result,
    RungWork,
    TrainingWork,
    WorkerPool,
)
from search.engines.workers import DIED, Processes
from search.errors import SearchStopped
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.study.ledger import PATIENCE, Ledger
from search.study.peers import OpenStudy


def _unwatched(_record: TrialRecord) -> None:
    return None


class Local:
    """Runs trials here; see ``search.engines.Engine``.

    >>> Local(workers=2).run(opened, evaluator, trials=48)

    With one worker everything happens in this process, in an order that depends on the seed
    alone. With more, every worker is a process with one torch thread that receives the task once
    and then one job at a time: a rung of a trial, or a final training. If it dies, that job has
    failed and a new worker takes its place.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers

    @property
    def at_once(self) -> int:
        """The number of trials that run at the same time."""
        return self._workers

    @property
    def threads(self) -> int:
        """The torch threads of a trial."""
        return torch.get_num_threads() if self._workers == 1 else 1

    def run(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Callable[[TrialRecord], None] = _unwatched,
    ) -> None:
        """As `Engine.run`: until the study has ``trials`` trials."""
        ledger = Ledger(opened, evaluator, trials, watch)
        record: TrialRecord | None
        host = socket.gethostname()
        with self._pool(RungWork(evaluator)) as pool:
            while True:
                while pool.idle and (record := ledger.next()) is not None:
                    pool.begin(record)
                if not pool.busy:
                    return
                record, result = pool.finished()
                log.measured(record, result, host)
                record = ledger.add(record, result)
                if record.state == "running":
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
        waiting, deaths = list(reversed(jobs)), 0
        with self._pool(TrainingWork(evaluator)) as pool:
            while waiting or pool.busy:
                while waiting and pool.idle:
                    pool.begin(waiting.pop())
                job, result = pool.finished()
                yield job, result
                deaths = deaths + 1 if _died(result) else 0
                if deaths == PATIENCE and result.failure is not None:
                    why = result.failure.reason
                    raise SearchStopped(f"{PATIENCE} final trainings in a row failed: {why}")

    def _pool(self, runner: JobRunner[Job, Result]) -> WorkerPool[Job, Result]:
        return InProcess(runner) if self._workers == 1 else Processes(self._workers, runner)


def _died(result: TrainingResult) -> bool:
    return result.failure is not None and result.failure.kind == DIED
