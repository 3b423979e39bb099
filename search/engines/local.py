"""The local engine: this machine, one trial at a time or several in processes of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

import torch

from results.record import TrialRecord
from search import log
from search.engines.crew import Alone, Crew, J, O, Rungs, Trainings, Work
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

    >>> Local(workers=2).run(opened, climb, trials=48)

    With one worker everything happens in this process, in an order that depends on the seed
    alone. With more, every worker is a process with one torch thread that holds the task once and
    is sent one job at a time: a rung of a trial, or a final training. If it dies, that job has
    failed and a new worker takes its place.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers

    @property
    def at_once(self) -> int:
        """So many trials run at the same time."""
        return self._workers

    @property
    def threads(self) -> int:
        """torch's threads of a trial."""
        return torch.get_num_threads() if self._workers == 1 else 1

    def run(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Callable[[TrialRecord], None] = _unwatched,
    ) -> None:
        """Until the study has ``trials`` trials; each is promoted as far as the rule lets it."""
        ledger = Ledger(opened, evaluator, trials, watch)
        record: TrialRecord | None
        here = socket.gethostname()
        with self._crew(Rungs(evaluator)) as crew:
            while True:
                while crew.idle and (record := ledger.next()) is not None:
                    crew.begin(record)
                if not crew.busy:
                    return
                record, result = crew.finished()
                log.measured(record, result, here)
                record = ledger.add(record, result)
                if record.state == "running":
                    crew.begin(record)

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """Each job's result as it is done.

        Raises:
            SearchStopped: three workers in a row died.
        """
        if not jobs:
            return
        waiting, deaths = list(reversed(jobs)), 0
        with self._crew(Trainings(evaluator)) as crew:
            while waiting or crew.busy:
                while waiting and crew.idle:
                    crew.begin(waiting.pop())
                job, result = crew.finished()
                yield job, result
                deaths = deaths + 1 if _died(result) else 0
                if deaths == PATIENCE and result.failure is not None:
                    why = result.failure.reason
                    raise SearchStopped(f"{PATIENCE} final trainings in a row failed: {why}")

    def _crew(self, work: Work[J, O]) -> Crew[J, O]:
        return Alone(work) if self._workers == 1 else Processes(self._workers, work)


def _died(result: TrainingResult) -> bool:
    return result.failure is not None and result.failure.kind == DIED
