"""What stays connected while a command works on a run: its engine, and those who are told of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from search import log
from search.engines import Engine
from search.engines.opening import open_engine
from search.errors import DatabaseLost
from search.folder import Folder
from search.interrupt import interrupts_heard
from search.loggers.logger import Logger
from search.loggers.opening import loggers_of
from search.progress import Progress
from search.study.open import study_of
from spaces import UserError


@contextmanager
def engine_of(
    folder: Folder, progress: Progress, resume_command: Callable[[], str]
) -> Iterator[Engine]:
    """The engine of a run, connected, while the block lasts; no Ctrl-C is lost in there.

    Raises:
        UserError: engine or database cannot be used, or the database went away.
    """
    run = folder.config.run
    try:
        study_of(folder).check()
        if run.engine == "ray":
            where = f"connecting to Ray at {run.address}" if run.address else "starting Ray here"
            progress.waiting(where)
        with interrupts_heard(), open_engine(folder.config) as engine:
            yield engine
    except DatabaseLost as lost:
        raise UserError(f"{lost}; go on with: {resume_command()}") from lost


@contextmanager
def told_of(folder: Folder, loggers: Sequence[Logger], progress: Progress | None) -> Iterator[None]:
    """Tell loggers of a run while the block lasts: these, and those that its config names.

    Args:
        progress: says it where one fails; without it, that is a warning of Python's.

    Raises:
        UserError: a package is not installed, or something is no logger.
    """
    say = progress.warn if progress else partial(warnings.warn, stacklevel=2)
    with log.told_to(loggers_of(folder.config.run.log, loggers), say):
        yield
