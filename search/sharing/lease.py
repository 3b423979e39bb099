"""A lease: of the processes that share a study one at a time holds it."""

from __future__ import annotations

import json
import time
from threading import Lock
from typing import Any

import sqlalchemy
from sqlalchemy.exc import IntegrityError

from results.optuna_private import study_attributes
from search.sharing import timing

TABLE = study_attributes()


class Lease:
    """Kept as one attribute of the study, which changes hands by a single conditional UPDATE.

    >>> lease = Lease(engine, study_id, "finals", owner="db1:/runs/mine")
    >>> if lease.take():
    ...     work(every_while=lease.renew)
    ...     lease.drop()
    ... else:
    ...     print(f"{lease.holder} has it")

    A holder that has not renewed it for ``DEAD_AFTER_S``, by the clock of the process that looks,
    is dead, and the lease is taken over: clocks of different machines are never compared. One
    thread may renew it while another drops it: whichever comes first, it is dropped.
    """

    def __init__(self, engine: sqlalchemy.Engine, study_id: int, what: str, owner: str) -> None:
        self._engine, self._owner = engine, owner
        self._row = {"study_id": study_id, "key": f"lease:{what}"}
        self._seen: str | None = None
        self._since = 0.0
        # What the database holds and what we have seen of it change together.
        self._lock = Lock()

    @property
    def holder(self) -> str:
        """The owner of whoever had it when we last looked."""
        return json.loads(self._seen)["owner"] if self._seen else ""

    def take(self) -> bool:
        """Take it if it is free or expired; whether this process holds it now. Never blocks."""
        with self._lock:
            there = self._read()
            return self._insert() if there is None else self._take_over(there)

    def renew(self) -> None:
        """Extend it; nothing happens if it was dropped, or taken over."""
        with self._lock:
            if self._seen is not None:
                self._replace(self._seen)

    def drop(self) -> None:
        """Release it."""
        with self._lock:
            with self._engine.begin() as connection:
                connection.execute(self._where(sqlalchemy.delete(TABLE)))
            self._seen = None

    def _take_over(self, there: str) -> bool:
        """Take it over from a holder that is dead."""
        if there != self._seen:
            self._seen, self._since = there, time.monotonic()
        # Our own name in it is from a life before this one: the folder is ours alone.
        if self.holder == self._owner or time.monotonic() - self._since > timing.DEAD_AFTER_S:
            return self._replace(there)
        return False

    def _read(self) -> str | None:
        with self._engine.begin() as connection:
            columns = sqlalchemy.select(TABLE.c.value_json)
            return connection.execute(columns.filter_by(**self._row)).scalar()

    def _insert(self) -> bool:
        mine = self._value(0)
        try:
            with self._engine.begin() as connection:
                connection.execute(sqlalchemy.insert(TABLE).values(**self._row, value_json=mine))
        except IntegrityError:  # somebody was faster
            return False
        self._seen = mine
        return True

    def _replace(self, old: str) -> bool:
        mine = self._value(json.loads(old)["beat"] + 1)
        with self._engine.begin() as connection:
            update = sqlalchemy.update(TABLE).values(value_json=mine)
            changed = connection.execute(self._where(update, old)).rowcount == 1
        if changed:
            self._seen = mine
        return changed

    def _where(self, statement: Any, value: str | None = None) -> Any:
        for column, wanted in (self._row | {"value_json": value or self._seen}).items():
            statement = statement.where(TABLE.c[column] == wanted)
        return statement

    def _value(self, beat: int) -> str:
        return json.dumps({"owner": self._owner, "beat": beat})
