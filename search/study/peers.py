"""The other processes that work on a study: none, unless the run has a ``--storage``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial

from results.record import TrialRecord
from search.evaluation.jobs import RungResult
from search.study.history import TrialHistory
from search.time_limit import NO_LIMIT, TimeLimit


class Outbox:
    """Results that wait for the study: none here; ``search.sharing.outbox`` keeps some."""

    def keep(self, record: TrialRecord, result: RungResult) -> None:
        """Keep the result of a rung of that trial.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """

    def find(self, record: TrialRecord, rung: int) -> RungResult | None:
        """The result that was kept for that rung."""
        return None

    def drop(self, record: TrialRecord, rung: int) -> None:
        """Forget the result; the study has it."""

    def clear(self) -> None:
        """Forget all results; the run has ended."""


class Peers:
    """No other process works on the study; ``search.sharing.peers`` has those that do.

    Attributes:
        shared: whether other processes may work on the study.
        is_leader: whether this process saves the provenance of the run.
        outbox: results that wait for the study.
    """

    shared: bool = False
    is_leader: bool = True
    outbox: Outbox = Outbox()

    def owns(self, trial: FrozenTrial) -> bool:
        """Whether a running trial was left by an earlier process of this run."""
        return True

    def take(self, trial_id: int) -> None:
        """Record that this process works on the trial."""

    def release(self, trial_id: int) -> None:
        """Record that this process no longer works on the trial."""

    def leave(self, number: int) -> None:
        """Leave a running trial, at the rung it has reached, to another process."""

    def requeue_dead(self, history: TrialHistory) -> None:
        """Enqueue again the trials that dead processes left running."""

    @contextmanager
    def exclusively(
        self, what: str, done: Callable[[], bool], say: Callable[[str], None]
    ) -> Iterator[bool]:
        """Block until this process holds the lease for ``what`` (yield True) or another has
        finished it (yield False).

        Args:
            what: in words: "trains the finals".
            done: whether it has been finished.
            say: called with a line when this process has to wait.
        """
        yield True

    def until_ended(
        self,
        trials: int,
        work: Callable[[], None],
        say: Callable[[str], None],
        limit: TimeLimit = NO_LIMIT,
    ) -> None:
        """Call ``work`` until all ``trials`` have ended, those of other processes included, or the
        limit is reached.

        Raises:
            SearchStopped: the time is over, and other processes go on with the search.
        """
        work()


NO_PEERS = Peers()


@dataclass(frozen=True)
class OpenStudy:
    """A study that is open for writing, and its other processes."""

    study: Study
    peers: Peers = NO_PEERS


Watch = Callable[[TrialRecord], None]
"""Called with every record of a study as it is stored."""
