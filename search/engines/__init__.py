"""Where trials and trainings run. One file an engine; each follows the protocol here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.study.peers import OpenStudy, Watch
from search.time_limit import NO_LIMIT, TimeLimit


class Engine(Protocol):
    """Runs the trials of a study, then trainings to the end; see ``opening.open_engine``.

    Attributes:
        at_once: how many trials run at the same time.
        threads: torch threads of a trial.
    """

    @property
    def at_once(self) -> int: ...

    @property
    def threads(self) -> int: ...

    def run(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Watch,
        limit: TimeLimit = NO_LIMIT,
    ) -> None:
        """Run trials until the study has ``trials``, failed ones included, or the limit is reached.

        An engine asks a ``Ledger`` for the next trial, has ``evaluator`` measure one rung at a time
        wherever it likes, and gives the ledger the result. On a study that was cut short it
        continues the running trials, under their numbers, from the rungs they had reached; on a
        finished one it does nothing.

        Args:
            opened: the study, with a ``BudgetSampler`` and the starts enqueued.
            evaluator: can be pickled.
            watch: called in this process.
            limit: until when trials and their rungs begin; what is measured then is not lost.

        Raises:
            SearchStopped: three trials in a row failed in the same way.
        """
        ...

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """Train each job's network to the end; yield results as they are done, in any order."""
        ...
