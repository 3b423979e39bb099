"""The processes that share a study: each requeues the trials of those that died."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from results.optuna_private import (
    record_heartbeat,
    storage_of,
    study_id_of,
    trial_id_of,
    was_decided,
)
from results.store import RECORD, SUPERSEDES
from search.sharing import timing
from search.sharing.heartbeat import Heartbeat
from search.sharing.lease import Lease
from search.study.history import TrialHistory
from search.study.peers import Outbox, Peers
from search.study.storage import closing

OWNER = "owner"
"""The trial's attribute that names the process, by its folder, that works on it."""


class SharedPeers(Peers):
    """The other processes that may work on the study.

    >>> peers = SharedPeers(study, connect, owner="db1:/runs/mine", outbox=outbox)
    >>> with peers.alive():
    ...     peers.take(trial_id)

    Args:
        study: on the run's own storage.
        connect: opens another storage on the same database, with Optuna's heartbeat settings.
        owner: names this run's folder among all machines.
        outbox: where results wait while the database is away.
    """

    shared = True

    def __init__(
        self, study: Study, connect: Callable[..., RDBStorage], owner: str, outbox: Outbox
    ) -> None:
        self.owner, self.outbox, self.is_leader = owner, outbox, False
        self._study = study
        with _without_warning():
            self._database = connect(
                heartbeat_interval=max(1, round(timing.HEARTBEAT_S)),
                grace_period=max(2, round(timing.DEAD_AFTER_S)),
                heartbeat_stale_trial_callback=requeue,
            )
        self._reaper = Study(study.study_name, self._database)
        self._heartbeat = Heartbeat(self._database)
        self._first_seen: dict[int, float] = {}
        self._requeued_at = 0.0

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Count as alive until the end of the block."""
        with closing(self._database), self._heartbeat.beating():
            yield

    def owns(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs.get(OWNER) == self.owner)

    def take(self, trial_id: int) -> None:
        storage_of(self._study).set_trial_user_attr(trial_id, OWNER, self.owner)
        record_heartbeat(self._study, trial_id)
        self._heartbeat.trials.add(trial_id)

    def release(self, trial_id: int) -> None:
        self._heartbeat.trials.discard(trial_id)

    def requeue_dead(self, history: TrialHistory) -> None:
        """Enqueue again what dead processes left running; at most once a heartbeat.

        While the database was away no process had a heartbeat. So none counts as dead before this
        one has had its own for as long as it takes to be dead.
        """
        now = time.monotonic()
        lately = now - self._requeued_at < timing.HEARTBEAT_S
        if lately or self._heartbeat.seconds < timing.DEAD_AFTER_S:
            return
        self._requeued_at = now
        try:
            with _without_warning():
                fail_stale_trials(self._reaper)
            self._start_clocks(history, now)
        except (SQLAlchemyError, StorageInternalError):
            return  # the database went away; the next operation on the study waits for it

    def _start_clocks(self, history: TrialHistory, now: float) -> None:
        """A process that died before its first heartbeat left a trial that is never stale."""
        running = {trial_id_of(trial) for trial in history.running} - self._heartbeat.trials
        self._first_seen = {known: self._first_seen.get(known, now) for known in running}
        for known, seen in self._first_seen.items():
            if now - seen > timing.DEAD_AFTER_S:
                self._database.record_heartbeat(known)
                self._first_seen[known] = float("inf")

    @contextmanager
    def exclusively(
        self, what: str, done: Callable[[], bool], say: Callable[[str], None]
    ) -> Iterator[bool]:
        lease = Lease(self._database.engine, study_id_of(self._study), what, self.owner)
        told = ""
        while not done():
            if _took(lease):
                self.is_leader = True
                with self._renewed(lease):
                    yield not done()
                return
            if lease.holder != told:
                told = lease.holder
                say(f"waiting for {told.partition('#')[0]}, which {what}")
            time.sleep(timing.POLL_S)
        self.is_leader = False
        yield False

    @contextmanager
    def _renewed(self, lease: Lease) -> Iterator[None]:
        self._heartbeat.leases.add(lease)
        try:
            yield
        finally:
            self._heartbeat.leases.discard(lease)
            with suppress(SQLAlchemyError):  # it expires by itself
                lease.drop()

    def until_ended(
        self, trials: int, work: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        """Call ``work`` until all ``trials`` of the study have ended, those of others included.

        A process that finds nothing more to begin waits: a trial of another one that dies is
        requeued, and a process has to be there to take it.
        """
        history, told = TrialHistory(self._study, trials), False
        while True:
            history.update()
            if history.ended:
                return
            self.requeue_dead(history)
            if history.to_ask or any(map(self.owns, history.running)):
                work()
            elif not told:
                say("waiting for the trials of other processes")
                told = True
            time.sleep(timing.POLL_S)


def requeue(study: Study, dead: FrozenTrial) -> None:
    """Have the trial of a dead process go on under a new number, from the rung it had reached.

    Where nothing was decided yet there is nothing to go on with: another trial will be asked for.
    """
    if RECORD not in dead.user_attrs and not was_decided(dead):
        return
    attributes = {name: value for name, value in dead.user_attrs.items() if name != OWNER}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=dead.params,
            distributions=dead.distributions,
            user_attrs=attributes | {SUPERSEDES: dead.number},
            system_attrs=dead.system_attrs,
        )
    )


def _took(lease: Lease) -> bool:
    with suppress(SQLAlchemyError):
        return lease.take()
    return False


@contextmanager
def _without_warning() -> Iterator[None]:
    """Optuna calls its heartbeat experimental: an argument may change, not what it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
