"""Who runs trials. One file an engine; every engine follows the protocol here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from spaces.errors import UserError

if TYPE_CHECKING:
    from optuna.study import Study

    from results.record import TrialRecord
    from search.config import SearchConfig
    from search.evaluator import Evaluator, TrainingJob, TrainingResult

ENGINES = ("local", "ray")


class Engine(Protocol):
    """Runs a study's trials until it has as many as asked for, then the final trainings.

    >>> with hired(config) as engine:
    ...     engine.run(study, evaluator, 48, watch)
    ...     for job, result in engine.train(evaluator, jobs): ...

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

        An engine asks the study for policies, has ``evaluator`` measure one rung of one policy at a
        time wherever it likes, stores the record after every rung, and lets ``evaluator.rule``
        say who is promoted. A trial that fails is recorded and the search goes on. Called on one
        that was cut short it continues the trials that were running, under their numbers, from
        the rung they had reached; called on a finished one it does nothing.

        Args:
            study: with a ``BudgetSampler`` and the starts enqueued.
            evaluator: what measures a rung; picklable.
            watch: called in this process with every record as it is stored.

        Raises:
            SearchStopped: three trials in a row failed in the same way.
        """
        ...

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """Train each job's network to the end; results come as they are done, in any order."""
        ...


def hired(config: SearchConfig) -> AbstractContextManager[Engine]:
    """The engine that the config asks for, connected to its cluster if it has one.

    Raises:
        UserError: Ray is not installed, nobody answers at the address, or the cluster has not
            what a trial asks for.
    """
    if config.run.engine == "ray":
        try:
            from search.engines.ray_tune import ray_tune
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "ray":
                raise
            raise UserError(
                "--engine ray needs Ray Tune, which is not installed; pip install 'ray[tune]'"
            ) from None
        return ray_tune(config)
    from search.engines.local import Local

    return nullcontext(Local(config.run.workers or 1))
