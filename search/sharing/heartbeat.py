"""The heartbeat of a process: one thread with its own connection.

Optuna's own is made for ``study.optimize`` and has a thread for each trial.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from optuna.storages import RDBStorage

from search.sharing import timing
from search.sharing.lease import Lease


class Heartbeat:
    """Records every ``HEARTBEAT_S`` that this process is alive.

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
                self._beat()
            except Exception:  # the main thread will meet the same error, and can report it
                continue
            now = time.monotonic()
            if self._since is None or now - last > 3 * timing.HEARTBEAT_S:
                self._since = now
            last = now

    def _beat(self) -> None:
        for trial_id in tuple(self.trials):
            self._database.record_heartbeat(trial_id)
        for lease in tuple(self.leases):
            lease.renew()
