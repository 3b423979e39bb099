"""Sharing a study: a process says that it lives, and requeues the trials of those that do not.

Optuna's heartbeat is meant for ``study.optimize``, which keeps a thread for each trial. Here one
thread beats for everything that this process has out, on a connection of its own.
"""

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

from results.store import RECORD, SUPERSEDES
from search.study.lease import Lease
from search.study.pace import BEAT, GRACE, PAUSE
from search.study.roll import Roll
from search.study.unsaved import Unsaved

OWNER = "owner"
"""The trial's attribute that names the process, by its folder, that works on it."""


class Sharing:
    """One of several processes that work on a study; see ``search.study.company``.

    >>> with Sharing(study, connect, owner="db1:/runs/mine", unsaved=unsaved).alive() as company:
    ...     company.take(trial._trial_id)

    Args:
        study: on the run's own storage.
        connect: opens another storage on the same database, with Optuna's heartbeat settings.
        owner: names this run's folder among all machines.
    """

    shared = True

    def __init__(
        self, study: Study, connect: Callable[..., RDBStorage], owner: str, unsaved: Unsaved
    ) -> None:
        self.owner, self.unsaved = owner, unsaved
        self.leads = False
        self._study = study
        with _unwarned():
            self._storage = connect(
                heartbeat_interval=max(1, round(BEAT)),
                grace_period=max(2, round(GRACE)),
                heartbeat_stale_trial_callback=requeue,
            )
        self._mourner = Study(study.study_name, self._storage)
        self._out: set[int] = set()
        self._leases: set[Lease] = set()
        self._first_seen: dict[int, float] = {}
        self._beating_since: float | None = None
        self._buried_at = 0.0
        self._stop = Event()

    @contextmanager
    def alive(self) -> Iterator[Sharing]:
        """Beat until the end of the block."""
        thread = Thread(target=self._beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(timeout=BEAT)
            self._storage.remove_session()
            self._storage.engine.dispose()

    def mine(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs.get(OWNER) == self.owner)

    def take(self, trial_id: int) -> None:
        self._study._storage.set_trial_user_attr(trial_id, OWNER, self.owner)
        self._study._storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]
        self._out.add(trial_id)

    def release(self, trial_id: int) -> None:
        self._out.discard(trial_id)

    def bury(self, roll: Roll) -> None:
        """Requeue what dead processes left running; once a beat is enough.

        While the database was away nobody could beat. So nobody is declared dead before this
        process has been beating for as long as it takes to be dead.
        """
        now = time.monotonic()
        since = self._beating_since
        if since is None or now - since < GRACE or now - self._buried_at < BEAT:
            return
        self._buried_at = now
        try:
            with _unwarned():
                fail_stale_trials(self._mourner)
            self._start_clocks(roll, now)
        except (SQLAlchemyError, StorageInternalError):
            return  # the database went away; the next operation on the study waits for it

    def _start_clocks(self, roll: Roll, now: float) -> None:
        """A process that died before its first beat left a trial that Optuna never calls stale."""
        self._first_seen = {
            t._trial_id: self._first_seen.get(t._trial_id, now)
            for t in roll.running
            if t._trial_id not in self._out
        }
        for trial_id, seen in self._first_seen.items():
            if now - seen > GRACE:
                self._storage.record_heartbeat(trial_id)
                self._first_seen[trial_id] = float("inf")

    @contextmanager
    def only_one(
        self, what: str, done: Callable[[], bool], say: Callable[[str], None]
    ) -> Iterator[bool]:
        """By a lease: the process that has it does ``what``, and the others wait for it."""
        lease = Lease(self._storage.engine, self._study._study_id, what, self.owner)
        told = ""
        while not done():
            if self._takes(lease):
                self._leases.add(lease)
                self.leads = True
                try:
                    yield not done()
                finally:
                    self._leases.discard(lease)
                    self._drops(lease)
                return
            if lease.holder != told:
                told = lease.holder
                say(f"waiting for {told.partition('#')[0]}, which {what}")
            time.sleep(PAUSE)
        self.leads = False
        yield False

    def _takes(self, lease: Lease) -> bool:
        with suppress(SQLAlchemyError):
            return lease.take()
        return False

    def _drops(self, lease: Lease) -> None:
        with suppress(SQLAlchemyError):  # it runs out by itself
            lease.drop()

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(BEAT):
            try:
                for trial_id in tuple(self._out):
                    self._storage.record_heartbeat(trial_id)
                for lease in tuple(self._leases):
                    lease.renew()
            except Exception:  # whatever it is, the main thread will meet it too, and can tell
                continue
            now = time.monotonic()
            if self._beating_since is None or now - last > 3 * BEAT:
                self._beating_since = now
            last = now


def requeue(study: Study, dead: FrozenTrial) -> None:
    """Have the trial of a dead process go on under a new number, from the rung it had reached.

    Where nothing was decided yet there is nothing to go on with: another trial will be asked for.
    """
    if RECORD not in dead.user_attrs and "fixed_params" not in dead.system_attrs:
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


@contextmanager
def _unwarned() -> Iterator[None]:
    """Optuna calls its heartbeat experimental: an argument may change, not what it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
