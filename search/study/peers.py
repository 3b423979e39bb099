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


class Outbox:
    """Results that wait until the study has them: none; ``search.sharing.outbox`` keeps some."""

    def keep(self, record: TrialRecord, result: RungResult) -> None:
        """Keep the outcome of a rung of that trial."""

    def find(self, record: TrialRecord, rung: int) -> RungResult | None:  # noqa: ARG002
        """The outcome that was kept for that rung."""
        return None

    def drop(self, record: TrialRecord, rung: int) -> None:
        """Forget the outcome; the study has it."""

    def clear(self) -> None:
        """Forget all outcomes; the run has ended."""


class Peers:
    """No other process works on the study; ``search.sharing.peers`` has those that do.

    Attributes:
        shared: whether other processes may work on the study.
        is_leader: whether this process writes to the study where its results come from.
        outbox: where results wait for the study.
    """

    shared: bool = False
    is_leader: bool = True
    outbox: Outbox = Outbox()

    def owns(self, trial: FrozenTrial) -> bool:  # noqa: ARG002
        """Whether a running trial was left by an earlier process of this run."""
        return True

    def take(self, trial_id: int) -> None:
        """Record that this process works on the trial."""

    def release(self, trial_id: int) -> None:
        """Record that this process no longer works on the trial."""

    def requeue_dead(self, history: TrialHistory) -> None:
        """Enqueue again the trials that dead processes left running."""

    @contextmanager
    def exclusively(
        self,
        what: str,  # noqa: ARG002
        done: Callable[[], bool],  # noqa: ARG002
        say: Callable[[str], None],  # noqa: ARG002
    ) -> Iterator[bool]:
        """Block until this process holds the lease for ``what`` (yield True) or another has
        finished it (yield False).

        Args:
            what: in words: "trains the finals".
            done: whether it has been finished.
            say: told whom this process waits for.
        """
        yield True

    def until_ended(
        self,
        trials: int,  # noqa: ARG002
        work: Callable[[], None],
        say: Callable[[str], None],  # noqa: ARG002
    ) -> None:
        """Call ``work`` until all ``trials`` of the study have ended, those of others included."""
        work()


NO_PEERS = Peers()


@dataclass(frozen=True)
class OpenStudy:
    """A study that is open for writing, and the other processes that work on it."""

    study: Study
    peers: Peers = NO_PEERS
