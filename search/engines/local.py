"""The local engine: this machine, one trial at a time or several in processes of their own."""

from __future__ import annotations

from collections.abc import Callable

from optuna.study import Study

from results.record import TrialRecord
from search.engines.crew import crew
from search.engines.ledger import Ledger
from search.trial import Climb


def _unwatched(_record: TrialRecord) -> None:
    return None


class Local:
    """Runs trials here; see ``search.engines.Engine``.

    >>> Local(workers=2).run(study, climb, trials=48)

    With one worker everything happens in this process, in an order that depends on the seed
    alone. With more, every worker is a process with one torch thread that holds the task once and
    is sent one rung of one trial at a time; if it dies, that trial has failed and a new worker
    takes its place.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def run(
        self,
        study: Study,
        climb: Climb,
        trials: int,
        watch: Callable[[TrialRecord], None] = _unwatched,
    ) -> None:
        """Until the study has ``trials`` trials; each climbs as far as the rule lets it."""
        ledger = Ledger(study, climb, trials, watch)
        record: TrialRecord | None
        with crew(self.workers, climb) as hands:
            while True:
                while hands.idle and (record := ledger.next()) is not None:
                    hands.begin(record)
                if not hands.busy:
                    return
                record = ledger.add(*hands.finished())
                if record.state == "running":
                    hands.begin(record)
