"""What is kept of a run while it goes on, however it ends: its provenance and its tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from results import Provenance, SpaceRecord, store, write_tables
from results.run import left_behind
from search.evaluation.scoring import sensitivity_records
from search.provenance import tested
from search.session import Session


@contextmanager
def provenance_kept(s: Session, about: Provenance) -> Iterator[Callable[..., None]]:
    """Save provenance and tables at the end of the block, however it ends, and at each call."""
    study, folder, began = s.opened.study, s.run.folder.path, time.time()
    before = store.load(study, store.PROVENANCE)
    started = before.started or time.strftime("%Y-%m-%d %H:%M")
    about = replace(about, started=started, folder=before.folder)

    def keep(**changes: Any) -> None:
        nonlocal about
        seconds = (before.seconds or 0.0) + time.time() - began
        about = replace(tested(about, left_behind(study, folder)), seconds=seconds, **changes)
        store.save(study, store.PROVENANCE, about)

    if s.peers.is_leader:
        measured = sensitivity_records(s.run.space, s.run.config, s.scores)
        store.save(study, store.PROVENANCE, about)
        store.save(study, store.SENSITIVITY, measured)
        store.save(study, store.SPACE, SpaceRecord.of(s.run.space, s.run.latency))
    try:
        yield keep
    finally:
        if s.peers.is_leader:
            keep()
        write_tables(folder, left_behind(study, folder))
