"""A lease, which one of the processes that share a study holds at a time."""

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
    """One attribute of the study, which changes hands by a single conditional UPDATE.

    >>> lease = Lease(engine, study_id, "finals", owner="db1:/runs/mine")
    >>> if lease.take():
    ...     work(every_while=lease.renew)
    ...     lease.drop()
    ... else:
    ...     print(f"{lease.holder} has it")

    A holder that has not renewed it for ``DEAD_AFTER_S`` counts as dead, and the lease is taken
    over. That time is measured by the process that waits: clocks of machines are never compared.
    One thread may renew the lease while another drops it: in either order it ends up dropped.
    """

    def __init__(self, engine: sqlalchemy.Engine, study_id: int, what: str, owner: str) -> None:
        self._engine, self._owner = engine, owner
        self._row = {"study_id": study_id, "key": f"lease:{what}"}
        self._seen: str | None = None
        self._since = 0.0
        # The database and `_seen` change together.
        self._lock = Lock()

    @property
    def holder(self) -> str:
        """The owner when this process last looked; empty if there was none."""
        return json.loads(self._seen)["owner"] if self._seen else ""

    def take(self) -> bool:
        """Take the lease if it is free or expired; whether it is now held here. Never blocks."""
        with self._lock:
            value = self._read()
            return self._insert() if value is None else self._take_over(value)

    def renew(self) -> None:
        """Extend the lease, unless it was dropped or taken over."""
        with self._lock:
            if self._seen is not None:
                self._replace(self._seen)

    def drop(self) -> None:
        """Release the lease."""
        with self._lock:
            with self._engine.begin() as connection:
                connection.execute(self._where(sqlalchemy.delete(TABLE)))
            self._seen = None

    def _take_over(self, value: str) -> bool:
        """Take it over if the holder is dead."""
        if value != self._seen:
            self._seen, self._since = value, time.monotonic()
        # This owner's name is from an earlier process: one process at a time has the folder.
        if self.holder == self._owner or time.monotonic() - self._since > timing.DEAD_AFTER_S:
            return self._replace(value)
        return False

    def _read(self) -> str | None:
        with self._engine.begin() as connection:
            columns = sqlalchemy.select(TABLE.c.value_json)
            return connection.execute(columns.filter_by(**self._row)).scalar()

    def _insert(self) -> bool:
        value = self._value(0)
        try:
            with self._engine.begin() as connection:
                connection.execute(sqlalchemy.insert(TABLE).values(**self._row, value_json=value))
        except IntegrityError:  # another process was faster
            return False
        self._seen = value
        return True

    def _replace(self, old: str) -> bool:
        value = self._value(json.loads(old)["beat"] + 1)
        with self._engine.begin() as connection:
            update = sqlalchemy.update(TABLE).values(value_json=value)
            changed = connection.execute(self._where(update, old)).rowcount == 1
        if changed:
            self._seen = value
        return changed

    def _where(self, statement: Any, value: str | None = None) -> Any:
        for column, content in (self._row | {"value_json": value or self._seen}).items():
            statement = statement.where(TABLE.c[column] == content)
        return statement

    def _value(self, beat: int) -> str:
        return json.dumps({"owner": self._owner, "beat": beat})
