"""The whole job: from a task and a budget to the Pareto front. Read ``execute`` top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from optuna.study import Study
from torch import nn

import prune_ops
import results
import spaces
from prune_ops import CRITERIA, Scores, normalised
from results import (
    Run,
    load_finals,
    load_provenance,
    load_records,
    save_finals,
    save_provenance,
    write_tables,
)
from search.config import SearchConfig
from search.engines.local import Local
from search.engines.study import enqueue, open_study
from search.finals import Finals, finalists, flops_check
from search.folder import Folder, place
from search.forecast import foresee
from search.hardware import threads_suited_to
from search.inspect import untrained
from search.progress import Progress
from search.provenance import provenance, tested
from search.sampler import BudgetSampler, Plan, make
from search.starts import starts
from search.task import Task, build_task
from search.trial import Climb
from spaces import Budget, Space


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


def execute(folder: Folder, task: Task | None = None, progress: Progress | None = None) -> Run:
    """The job; where the folder holds a run that was cut short, the rest of it."""
    config, progress = folder.config, progress or Progress()
    task = task or _build(folder, progress)
    space = spaces.discover(task.model, task.example, config.task.round_to)
    budgets = reachable(space, config)
    check_criteria(task.model, space, config)
    about = provenance(folder.path.name, config, task, space, budgets)
    with (
        threads_suited_to(task.example[0].shape),
        folder.held(),
        open_study(folder.path / "study.db", _sampler(space, budgets, config)) as study,
        _kept(folder, study, about),
    ):
        scores = folder.scores(lambda: _score(task, space, config))
        enqueue(
            study, starts(space, {name: scores[name] for name in config.policies.starts}, budgets)
        )
        climb = Climb(task, space, _in_one_unit(scores, config.judging.criterion), config)
        progress.begin(foresee(climb, budgets), config.policies.trials, load_records(study))
        Local(config.run.workers).run(study, climb, config.policies.trials, progress.trial)

        contenders = finalists(load_records(study), climb, budgets)
        progress.begin_finals(len(contenders) * len(config.final_seeds))
        keep = partial(save_finals, study)
        finals = Finals(climb, folder.path / "models", load_finals(study), keep)
        trained = finals.run(contenders, progress.final)
        about["checks"] = [*flops_check(trained, climb), *finals.failures, *_doubts(config)]
    run = results.load(folder.path)
    run.report()
    return run


def _doubts(config: SearchConfig) -> Iterator[str]:
    """What a reader should know before believing the figures."""
    if config.task.weights is not None:
        yield (
            "the weights were given: if they were trained on images that are now in the "
            "validation split, validation accuracies flatter; test accuracies do not"
        )


def reachable(space: Space, config: SearchConfig) -> list[Budget]:
    """The budgets of the config.

    Raises:
        BudgetError: one that no policy can meet, with the reachable range.
    """
    budgets = [Budget.parse(budget) for budget in config.policies.budget]
    for budget in budgets:
        space.limit(budget)
    return budgets


def check_criteria(model: nn.Module, space: Space, config: SearchConfig) -> None:
    """Ask the criteria that need no data, so that one that cannot judge this network says so now.

    Raises:
        UserError: a criterion that needs what the network has not, BatchNorm in every group say.
    """
    free = [name for name in _criteria(config) if not CRITERIA[name].requires]
    prune_ops.score(model, space, (), free)


def _criteria(config: SearchConfig) -> list[str]:
    return sorted({config.judging.criterion, *config.policies.starts})


def _build(folder: Folder, progress: Progress) -> Task:
    config, cache = folder.config, Path(folder.config.run.runs_dir) / ".cache"
    if config.task.weights is None:
        # The baseline may take long; what cannot be searched is refused before it is trained.
        model, example = untrained(config.task, cache)
        space = spaces.discover(model, example, config.task.round_to)
        reachable(space, config)
        check_criteria(model, space, config)
    return build_task(
        config.task.model,
        config.task.data,
        weights=config.task.weights,
        seed=config.policies.seed,
        device=config.task.device,
        train_images=config.task.train_images,
        image_size=config.task.image_size,
        cache=cache,
        progress=progress.working,
    )


def _sampler(space: Space, budgets: Sequence[Budget], config: SearchConfig) -> BudgetSampler:
    policies = config.policies
    plan = Plan(policies.seed, policies.trials, config.run.workers)
    return BudgetSampler(make(policies.sampler, plan), space, budgets, seed=policies.seed)


def _score(task: Task, space: Space, config: SearchConfig) -> Mapping[str, Scores]:
    return prune_ops.score(
        task.model, space, task.calibration(), _criteria(config), seed=config.policies.seed
    )


def _only(criteria: Sequence[str], scores: Mapping[str, Scores]) -> Mapping[str, Scores]:
    return {name: scores[name] for name in criteria}


def _in_one_unit(scores: Mapping[str, Scores], criterion: str) -> Scores:
    """Fit to be added up over groups, as predicted damage does."""
    one = scores[criterion]
    return one if CRITERIA[criterion].comparable else normalised(one)


@contextmanager
def _kept(folder: Folder, study: Study, about: dict[str, Any]) -> Iterator[None]:
    """Whatever ends the run, its provenance and tables say how far it got."""
    before, began = load_provenance(study), time.time()
    about["started"] = before.get("started", time.strftime("%Y-%m-%d %H:%M"))
    save_provenance(study, about)
    try:
        yield
    finally:
        about["seconds"] = before.get("seconds", 0.0) + time.time() - began
        finals = load_finals(study)
        about |= tested(finals)
        save_provenance(study, about)
        write_tables(folder.path, load_records(study), finals)
