"""The whole job: from a task and a budget to the Pareto front. Read ``execute`` top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from optuna.study import Study

import results
import spaces
from prune_ops import Scores
from results import (
    FinalRecord,
    Run,
    TrialRecord,
    load_beside,
    load_finals,
    load_provenance,
    load_records,
    load_repeats,
    save_beside,
    save_finals,
    save_provenance,
    save_repeats,
    save_sensitivity,
    write_tables,
)
from search import log
from search.beside import Beside, trainings
from search.checkpoints import InFolder
from search.config import SearchConfig
from search.engines import Engine
from search.engines.opening import open_engine
from search.evaluator import Evaluator
from search.finals import Finals, finalists
from search.flops_check import flops_check
from search.folder import Folder, place
from search.forecast import foresee
from search.hardware import threads_suited_to
from search.interrupt import interrupts_heard
from search.layers import sensitivity
from search.prepare import (
    Check,
    anything,
    build,
    check_criteria,
    check_proxies,
    choosers,
    every,
    given,
    reachable,
    savable,
    score,
    tell_uncounted,
)
from search.progress import Progress
from search.provenance import provenance, tested
from search.repeats import repeat
from search.sampler import BudgetSampler, Plan, make
from search.starts import Start, crowding, starts
from search.study.company import company_of, until_ended
from search.study.connection import DatabaseLost
from search.study.founding import begun, check_storage, end, ended, opened, unchanged
from search.study.network import fingerprint
from search.task import Task
from spaces import Budget, Space, UserError


def search(
    task: Task | None = None,
    budget: float | str | Sequence[float | str] = 0.5,
    trials: int = 64,
    **options: Any,
) -> Run:
    """Search pruning policies of a task; what it finds is the run in ``runs/<name>/``.

    >>> run = search(build_task("digits_cnn", "digits"), budget=0.5, trials=64)
    >>> run.front[["flops_fraction", "val_accuracy", "test_accuracy"]]

    Args:
        task: what is pruned; without one it is built from ``model``, ``data`` and ``weights``.
        budget: the most flops to keep, as a fraction or absolute (``"60M"``), or several.
        trials: how many policies to try.
        options: every flag of ``python search.py --help`` under its name, ``rungs=(1, 3)`` say.

    Raises:
        UserError: an option that cannot be; one line that says what must hold and what came.
        SearchStopped: three trials in a row failed in the same way.
    """
    return execute(place({"budget": budget, "trials": trials, **options}), task)


def execute(
    folder: Folder,
    task: Task | None = None,
    progress: Progress | None = None,
    check: Check = anything,
) -> Run:
    """The job; where the folder holds a run that was cut short, the rest of it.

    Args:
        check: what else the network must be fit for; asked before anything is trained.
    """
    try:
        check_storage(folder)
        progress = progress or Progress()
        progress.hiring(folder.config.run)
        # The engine first, so that a wrong address is told at once.
        with interrupts_heard(), open_engine(folder.config) as engine:
            return _search(folder, engine, task, progress, check)
    except DatabaseLost as lost:
        raise UserError(f"{lost}; go on with: {folder.resume_command}") from lost


def _search(
    folder: Folder, engine: Engine, task: Task | None, progress: Progress, check: Check
) -> Run:
    config, check = folder.config, every(unchanged(folder), savable, check)
    command = {} if task else {"command": config.command}
    task = given(task) if task else build(config, progress, check)
    space = spaces.discover(task.model, task.example, config.task.round_to)
    check(task.model, space)
    tell_uncounted(space, progress)
    budgets = reachable(space, config)
    check_criteria(task.model, task.example, space, len(task.train), config)
    check_proxies(task.model, len(task.train), config)
    about = provenance(folder.path.name, config, task, space, budgets) | command
    with (
        threads_suited_to(task.example[0].shape),
        folder.held(),
        log.logged_to(folder.path / "log.txt"),
        opened(folder, _sampler(space, budgets, engine, config)) as study,
        _kept(folder.path, study, about) as keep,
    ):
        scores = begun(
            study,
            folder,
            fingerprint(task, space),
            score=partial(score, task, space, config, progress),
            starts=partial(_starts, space, budgets, config, progress.say),
            say=progress.say,
        )
        company = company_of(study)
        if company.leads:
            save_sensitivity(study, sensitivity(space, config, scores))
        checkpoints = InFolder(folder.path / "checkpoints")
        evaluator = Evaluator(
            *(task, space, choosers(scores, config), config, checkpoints),
            damages=scores.get("iso_damage", {}),
        )
        progress.begin(
            foresee(evaluator, budgets, engine), config.policies.trials, load_records(study)
        )

        def watch(record: TrialRecord) -> None:
            progress.trial(record)
            log.watched(record)

        work = partial(engine.run, study, evaluator, config.policies.trials, watch)
        until_ended(study, config.policies.trials, work, progress.say)
        with company.only_one("trains the finals", partial(ended, study), progress.say) as ours:
            if ours:
                _repeat(study, evaluator, engine, progress)
                about["folder"] = folder.owner.partition("#")[0]
                about["checks"] = _finals(folder, study, evaluator, budgets, engine, progress)
                about["checks"] += _beside(study, evaluator, engine, progress)
                keep()
                end(study)
        checkpoints.clear()
        company.unsaved.clear()
    run = results.load(folder.path, config.run.storage)
    run.report()
    folder.finish()
    return run


def _repeat(study: Study, evaluator: Evaluator, engine: Engine, progress: Progress) -> None:
    """Train some policies again, so that the report can say how much of an accuracy is luck."""

    def keep(made: list[TrialRecord]) -> None:
        save_repeats(study, made)
        progress.working("repeats", len(made), evaluator.config.judging.repeats)

    repeat(load_records(study), evaluator, engine, load_repeats(study), keep)


def _finals(
    folder: Folder,
    study: Study,
    evaluator: Evaluator,
    budgets: Sequence[Budget],
    engine: Engine,
    progress: Progress,
) -> list[str]:
    """Train the front and uniform widths to the end; what was checked on the way."""
    contenders = finalists(load_records(study), evaluator, budgets)
    mine = len(contenders) * len(evaluator.config.final_seeds)
    progress.begin_finals(mine + trainings(evaluator.config))
    models = folder.path / "models"
    finals = Finals(
        contenders, evaluator, models, _known(study, models), partial(save_finals, study)
    )
    trained = finals.run(engine, progress.final)
    return [*flops_check(trained, evaluator), *finals.failures, *_doubts(study, evaluator.config)]


def _beside(study: Study, evaluator: Evaluator, engine: Engine, progress: Progress) -> list[str]:
    """Train what is set beside the finals, if anything is; what went wrong."""
    if not evaluator.config.training.compression_baselines:
        return []
    keep = partial(save_beside, study)
    others = Beside(load_finals(study), evaluator, load_beside(study), keep)
    others.run(engine, progress.training)
    return others.failures


def _known(study: Study, models: Path) -> list[FinalRecord]:
    """The finals that need no second training: of those searched, the network must be here."""
    return [f for f in load_finals(study) if f.number is None or (models / str(f.number)).is_dir()]


def _doubts(study: Study, config: SearchConfig) -> Iterator[str]:
    """What a reader should know before believing the figures."""
    origins = {"uniform", *config.policies.starts}
    if crowded := crowding(sum(r.origin in origins for r in load_records(study)), config):
        yield crowded
    if config.task.weights is not None:
        yield (
            "the weights were given: if they were trained on images that are now in the "
            "validation split, validation accuracies flatter; test accuracies do not"
        )


def _sampler(
    space: Space, budgets: Sequence[Budget], engine: Engine, config: SearchConfig
) -> BudgetSampler:
    policies = config.policies
    others = config.run.storage is not None  # that work on the study too
    plan = Plan(policies.seed, policies.trials, engine.at_once + others)
    inner, criteria = make(policies.sampler, plan), config.searched
    return BudgetSampler(inner, space, budgets, seed=policies.seed, criteria=criteria)


def _starts(
    space: Space,
    budgets: Sequence[Budget],
    config: SearchConfig,
    say: Callable[[str], None],
    scores: Mapping[str, Scores],
) -> list[Start]:
    ranked = {name: scores[name] for name in config.policies.starts}
    found = starts(space, ranked, budgets, config.searched)
    if crowded := crowding(len(found), config):
        say(crowded)
    return found


@contextmanager
def _kept(folder: Path, study: Study, about: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """Whatever ends the block, provenance and tables say how far the run got; so does the call."""
    company, before, began = company_of(study), load_provenance(study), time.time()
    about["started"] = before.get("started", time.strftime("%Y-%m-%d %H:%M"))

    def keep() -> None:
        about["seconds"] = before.get("seconds", 0.0) + time.time() - began
        about.update(tested(load_finals(study), load_beside(study)))
        save_provenance(study, about)

    if company.leads:
        save_provenance(study, about)
    try:
        yield keep
    finally:
        if company.leads:
            keep()
        write_tables(folder, load_records(study), load_finals(study), others=load_beside(study))
