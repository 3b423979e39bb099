"""Fine-tune or from scratch? A run's front, trained in every arm. ``_compare`` is the overview."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

import results
from results import Run
from search import log
from search.comparison.comparer import Comparer
from search.comparison.config import CompareConfig
from search.comparison.full import check_own_loop
from search.comparison.resuming import (
    check_finished,
    check_same_network,
    folder_of,
    options_of,
    resume_command,
    settled,
)
from search.comparison.structures import check_structure
from search.connected import engine_of, told_of
from search.engines import Engine
from search.folder import Folder
from search.loggers.logger import Logger
from search.progress import Progress
from search.run import execute
from search.session import session
from search.study.open import search_ended, unchanged
from search.task.fit import Check
from search.task.prepare import prepare, reachable
from search.task.task import Task
from spaces import Space


def compare(
    run: str | Path | None = None,
    task: Task | None = None,
    loggers: Sequence[Logger] = (),
    **options: Any,
) -> Run:
    """Train the front of a run, and uniform widths, in every arm: fine-tuned and from scratch.

    >>> run = search.compare("runs/digits_small-0.5", seeds=3)
    >>> run.comparison.groupby(["structure", "arm"])["test_accuracy"].mean()

    Trainings are stored in the run; those that it has, from the search too, are not repeated.

    Args:
        run: the folder of a run; without one a search is made first.
        task: what was pruned; without one it is built as the run's config says.
        loggers: are told of the run while it goes on, besides those that ``log`` names.
        options: every flag of ``python search.py compare --help`` under its name.

    Raises:
        UserError: the run is not finished or has another network, or an option is invalid.
        SearchStopped: three trainings in a row died.
    """
    own, rest = CompareConfig.split(options)
    folder = folder_of(run, rest)
    config = options_of(folder, own)
    if run is None and not search_ended(folder):
        checks = [structure_check(config, folder)]
        execute(folder, task, checks=checks, distils=config.distils, loggers=loggers)
    return execute_comparison(folder, config, task, loggers=loggers)


def structure_check(options: CompareConfig, folder: Folder) -> Check:
    """A check that refuses a network which cannot have a structure that was asked for by name, and
    what needs our own training loop where the config names another."""

    def check(model: nn.Module, space: Space) -> None:
        if folder.config.task.train_loop is not None:
            check_own_loop(options)
        if not options.takes_all("structures"):
            for name in options.structures:
                check_structure(name, model, space, reachable(space, folder.config))

    return check


def execute_comparison(
    folder: Folder,
    options: CompareConfig,
    task: Task | None = None,
    progress: Progress | None = None,
    loggers: Sequence[Logger] = (),
) -> Run:
    """Run the comparison, or what is left of one that was cut short."""
    with told_of(folder, loggers, progress):
        progress = progress or Progress()
        with engine_of(folder, progress, lambda: resume_command(folder, options)) as engine:
            _compare(folder, options, engine, task, progress)
        run = results.load(folder.path, folder.config.run.storage)
        run.report()
        log.finished(run)
    return run


def _compare(
    folder: Folder, options: CompareConfig, engine: Engine, task: Task | None, progress: Progress
) -> None:
    searched = results.load(folder.path, folder.config.run.storage)
    check_finished(searched, folder)

    def same_network(_model: nn.Module, space: Space) -> None:
        check_same_network(searched.provenance, folder, space)

    checks = (same_network, unchanged(folder), structure_check(options, folder))
    run = prepare(folder, engine, task, progress, *checks, distils=options.distils)
    if run.task.train_loop is not None:
        check_own_loop(options)
    with session(run, "checkpoints-of-comparison") as s:
        s.tell_begun(searched.provenance)
        with s.peers.exclusively("compares", lambda: False, progress.say):
            Comparer(s, settled(options, s.evaluator)).run(options.anew)
        s.evaluator.checkpoints.clear()
