"""The processes that share a study: each shows that it lives, and requeues trials of dead ones."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

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
from search.errors import SearchStopped
from search.sharing import timing
from search.sharing.lease import Lease
from search.study.history import TrialHistory
from search.study.peers import Outbox, Peers
from search.study.storage import closing
from search.time_limit import NO_LIMIT, TimeLimit

OTHERS_GO_ON = "the time limit is reached, while other processes go on with the search"

OWNER = "owner"
"""Attribute of a trial: the process that works on it, named by its folder."""


class Heartbeat:
    """Records every ``HEARTBEAT_S`` that this process is alive, in a thread of its own.

    Optuna's heartbeat is made for ``study.optimize`` and has a thread for each trial.

    Attributes:
        trials: ids of the trials that this process works on.
        leases: those that this process holds.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self.trials: set[int] = set()
        self.leases: set[Lease] = set()
        self._database = storage
        self._since: float | None = None
        self._stop = Event()

    @property
    def seconds(self) -> float:
        """For how long the heartbeat has had no gap."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat until the end of the block."""
        thread = Thread(target=self._run, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=timing.HEARTBEAT_S)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(timing.HEARTBEAT_S):
            try:
                for trial_id in tuple(self.trials):
                    self._database.record_heartbeat(trial_id)
                for lease in tuple(self.leases):
                    lease.renew()
            except Exception:  # the main thread will meet the same error, and can report it
                continue
            now = time.monotonic()
            if self._since is None or now - last > 3 * timing.HEARTBEAT_S:
                self._since = now
            last = now


class SharedPeers(Peers):
    """The other processes that may work on the study, while `alive`.

    Args:
        study: on the run's own storage.
        connect: opens another storage on the same database, with Optuna's heartbeat settings.
        owner: names this run's folder among all machines: ``db1:/runs/mine``.
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
        """Have a heartbeat until the end of the block."""
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

    def leave(self, number: int) -> None:
        trial = self._study.get_trials(deepcopy=False)[number]
        self._study.tell(number, state=TrialState.FAIL)
        requeue(self._study, trial)
        self.release(trial_id_of(trial))

    def requeue_dead(self, history: TrialHistory) -> None:
        """At most once a heartbeat. While the database was away no process had one, so none counts
        as dead before this process has had its own for ``DEAD_AFTER_S``.
        """
        now = time.monotonic()
        recently = now - self._requeued_at < timing.HEARTBEAT_S
        if recently or self._heartbeat.seconds < timing.DEAD_AFTER_S:
            return
        self._requeued_at = now
        try:
            with _without_warning():
                fail_stale_trials(self._reaper)
            self._start_clocks(history, now)
        except (SQLAlchemyError, StorageInternalError):
            return  # the database went away; the next operation on the study waits for it

    def _start_clocks(self, history: TrialHistory, now: float) -> None:
        """Make trials stale whose process died before a heartbeat: for Optuna they never are."""
        running = {trial_id_of(trial) for trial in history.running} - self._heartbeat.trials
        self._first_seen = {trial: self._first_seen.get(trial, now) for trial in running}
        for trial, seen in self._first_seen.items():
            if now - seen > timing.DEAD_AFTER_S:
                self._database.record_heartbeat(trial)
                self._first_seen[trial] = float("inf")

    @contextmanager
    def exclusively(
        self, what: str, done: Callable[[], bool], say: Callable[[str], None]
    ) -> Iterator[bool]:
        lease = Lease(self._database.engine, study_id_of(self._study), what, self.owner)
        named = ""
        while not done():
            if _took(lease):
                self.is_leader = True
                self._heartbeat.leases.add(lease)
                try:
                    yield not done()
                finally:
                    self._heartbeat.leases.discard(lease)
                    with suppress(SQLAlchemyError):  # it expires by itself
                        lease.drop()
                return
            if lease.holder != named:
                named = lease.holder
                say(f"waiting for {named.partition('#')[0]}, which {what}")
            time.sleep(timing.POLL_S)
        self.is_leader = False
        yield False

    def until_ended(
        self,
        trials: int,
        work: Callable[[], None],
        say: Callable[[str], None],
        limit: TimeLimit = NO_LIMIT,
    ) -> None:
        """A process that finds nothing more to begin waits: should another one die, its trials are
        requeued, and a live process has to take them.

        So does one whose limit is reached, until no other works on a trial: the last one trains the
        finals. It waits no longer than the limit allows.
        """
        history, said_so, late = TrialHistory(self._study, trials), False, False
        alone_since = time.monotonic()
        while True:
            history.update()
            if history.ended:
                return
            self.requeue_dead(history)
            if not late and (history.to_ask or any(map(self.owns, history.running))):
                work()
                history.update()
            elif not said_so:
                say("waiting for the trials of other processes")
                said_so = True
            late = limit.reached
            if not all(map(self.owns, history.running)):
                alone_since = time.monotonic()
            if late and time.monotonic() - alone_since >= timing.HEARTBEAT_S:
                return
            if limit.spent and not history.ended:
                raise SearchStopped(OTHERS_GO_ON)
            time.sleep(timing.POLL_S)


def requeue(study: Study, dead: FrozenTrial) -> None:
    """Enqueue a dead process's trial under a new number, to go on from the rung it had reached.

    A trial without a record or a decided policy is dropped: another one will be asked for.
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
    """Silence Optuna's warning that its heartbeat's interface may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
