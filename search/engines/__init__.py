"""Who runs trials. One file an engine; every engine follows the protocol here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from optuna.study import Study

    from results.record import TrialRecord
    from search.evaluator import Evaluator, TrainingJob, TrainingResult


class SearchStopped(RuntimeError):
    """The search cannot usefully go on; the message says why in one line."""


class Engine(Protocol):
    """Runs a study's trials until it has as many as asked for, then the final trainings.

    >>> with open_engine(config) as engine:
    ...     engine.run(study, climb, 48, watch)
    ...     for job, outcome in engine.finals(climb, jobs): ...

    Attributes:
        at_once: how many trials run at the same time.
        threads: torch's threads of a trial.
    """

    @property
    def at_once(self) -> int: ...

    @property
    def threads(self) -> int: ...

    def run(
        self, study: Study, evaluator: Evaluator, trials: int, watch: Callable[[TrialRecord], None]
    ) -> None:
        """Run trials until the study has ``trials``, failed ones included.

        An engine asks the study for policies, has ``climb`` measure one rung of one policy at a
        time wherever it likes, stores the record after every rung, and lets ``climb.rule`` say
        who climbs on. A trial that fails is recorded and the search goes on. Called on a study
        that was cut short it continues the trials that were running, under their numbers, from
        the rung they had reached; called on a finished one it does nothing.

        Args:
            study: with a ``BudgetSampler`` and the starts enqueued.
            climb: what measures a rung; picklable.
            watch: called in this process with every record as it is stored.

        Raises:
            SearchStopped: three trials in a row failed in the same way.
        """
        ...

    def finals(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """Train each job's network to the end; results come as they are done, in any order."""
        ...
