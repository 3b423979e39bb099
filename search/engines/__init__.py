"""Who runs trials. One file an engine; ``local`` is here, the others follow the same protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from optuna.study import Study

    from results.record import TrialRecord
    from search.trial import Climb

ENGINES = ("local",)


class SearchStopped(RuntimeError):
    """The search cannot usefully go on; the message says why in one line."""


class Engine(Protocol):
    """Runs a study's trials until it has as many as asked for.

    >>> Local(workers=2).run(study, climb, trials=48)

    An engine asks the study for policies, has ``climb`` measure one rung of one policy at a time
    wherever it likes, stores the record after every rung, and lets ``climb.rule`` say who climbs
    on. A trial that fails is recorded and the search goes on. Called on a study that was cut
    short it continues the trials that were running, under their numbers, from the rung they had
    reached; called on a finished one it does nothing.

    Args:
        study: with a ``BudgetSampler`` and the starts enqueued.
        climb: what measures a rung; picklable.
        trials: how many the study has in the end, failed ones included.
        watch: called in this process with every record as it is stored.

    Raises:
        SearchStopped: three trials in a row failed in the same way.
    """

    def run(
        self, study: Study, climb: Climb, trials: int, watch: Callable[[TrialRecord], None]
    ) -> None: ...
