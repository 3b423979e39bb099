"""A search, from a task and a budget to the Pareto front. Read ``_search`` top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

import results
from results import Run, TrialRecord, load_records
from search import log
from search.caveats import caveats
from search.connected import engine_of, told_of
from search.engines import Engine
from search.finishing import train
from search.folder import Folder, resolve_folder
from search.forecast import TRIALS
from search.keeping import provenance_kept
from search.loggers.logger import Logger
from search.progress import Progress
from search.proposing import chosen_starts, known_before, sampler, told_starts
from search.provenance import metric_info, provenance
from search.remaining import forecast, with_rates
from search.session import Session, session
from search.study.extent import Cut, cut_now, end, ended
from search.study.open import going_on, unchanged
from search.task.fit import Check, savable
from search.task.prepare import prepare
from search.task.task import Task
from search.time_limit import TimeLimit
from spaces import Space


def search(
    task: Task | None = None,
    budget: float | str | Sequence[float | str] | None = None,
    trials: int | None = None,
    loggers: Sequence[Logger] = (),
    **options: Any,
) -> Run:
    """Search pruning policies for a task; the run is kept in ``runs/<name>/``.

    >>> run = search(build_task("digits_small", "digits"), budget=0.5, trials=48)
    >>> run.front[["flops_fraction", "val_accuracy", "test_accuracy"]]

    Args:
        task: what is pruned; without one it is built from ``model``, ``data`` and ``weights``.
        budget: the most flops to keep, as a fraction or absolute (``"60M"``), or several; 0.5 by
            default. With ``resume``, further ones.
        trials: how many policies to try; 48 by default. With ``resume``, how many in all.
        loggers: are told of the run while it goes on, besides those that ``log`` names.
        options: every flag of ``python search.py --help`` under its name, ``rungs=(1, 3)`` say.

    Raises:
        UserError: an invalid option; one line says what must hold and what was given.
        SearchStopped: three trials in a row failed in the same way.
    """
    given = {"budget": budget, "trials": trials}
    given = {name: value for name, value in given.items() if value is not None}
    return execute(resolve_folder({**given, **options}), task, loggers=loggers)


def execute(
    folder: Folder,
    task: Task | None = None,
    progress: Progress | None = None,
    checks: Sequence[Check] = (),
    distils: bool = False,
    loggers: Sequence[Logger] = (),
) -> Run:
    """Run the search in a folder, or what is left of one that was cut short there.

    Args:
        checks: further checks of the network, made before anything is trained.
        distils: whether it will be distilled from later, whatever this search does.
        loggers: besides those that the config names.
    """
    limit = TimeLimit.of(folder.config.run.max_hours)
    with told_of(folder, loggers, progress):
        progress = progress or Progress()
        # The engine first: a wrong address is refused at once.
        with engine_of(folder, progress, lambda: folder.resume_command) as engine:
            cut = _search(folder, engine, task, progress, limit, checks, distils)
        run = results.load(folder.path, folder.config.run.storage)
        progress.waiting("writing the report")
        run.report()
        if cut is None:
            folder.finish()
        log.finished(run)
    return run


def _search(
    folder: Folder,
    engine: Engine,
    task: Task | None,
    progress: Progress,
    limit: TimeLimit,
    checks: Sequence[Check],
    distils: bool,
) -> Cut | None:
    """How the time limit cut it short; None if all trials were tried."""
    checks = unchanged(folder), savable, *checks, _tells_going_on(folder, progress)
    run = prepare(folder, engine, task, progress, *checks, distils=distils)
    about = provenance(folder.path.name, run.config, run.task, run.space, run.budgets)
    about = replace(about, warnings=run.doubts)
    if task is None:
        about = replace(about, command=folder.config.command)
    else:
        about = replace(about, fresh="")
    with (
        session(run, "checkpoints", partial(told_starts, run), partial(sampler, run)) as s,
        provenance_kept(s, about) as keep,
    ):
        s.tell_begun(about)
        limit = forecast(s, limit)
        s = with_rates(s)
        cut = _run_trials(s, limit)
        done = partial(ended, s.opened.study, run.config)
        with s.peers.exclusively("trains the finals", done, progress.say) as is_ours:
            if is_ours:
                before = known_before(run, len(chosen_starts(run, s.scores)))
                checked = (*train(s), *before, *caveats(s))
                warned = run.doubts if cut is None else (*run.doubts, cut.sentence)
                keep(folder=folder.owner.partition("#")[0], checks=checked, warnings=warned)
                end(s.opened.study, run.config, cut)
        s.evaluator.checkpoints.clear()
        s.peers.outbox.clear()
    return cut


def _tells_going_on(folder: Folder, progress: Progress) -> Check:
    """The last check, as what is refused is told in one line: says that a run is gone on with."""

    def tell(_model: nn.Module, _space: Space) -> None:
        if line := going_on(folder):
            progress.say(line)

    return tell


def _run_trials(s: Session, limit: TimeLimit) -> Cut | None:
    """Run the trials; how the limit cut them short, if it did."""
    trials, progress = s.run.config.policies.trials, s.run.progress
    scores = [r.val_accuracy for r in load_records(s.opened.study) if r.state == "complete"]
    metric = metric_info(s.run.task.metric)

    def watch(record: TrialRecord) -> None:
        if record.state == "complete":
            scores.append(record.val_accuracy)
        best = f"best {metric.with_unit(max(scores))}" if scores else "none complete"
        progress.advance(TRIALS, steps=record.state != "running", note=best)
        log.ended(record)

    work = partial(s.run.engine.run, s.opened, s.evaluator, trials, watch, limit)
    s.peers.until_ended(trials, work, progress.say, limit)
    if (cut := cut_now(s.opened.study, s.run.config)) is not None:
        progress.stages[TRIALS].cut_short()
        progress.warn(cut.sentence)
    return cut
