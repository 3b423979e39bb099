"""The one door to a run: data and network are read once, and what cannot be searched is refused
before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import prune_ops
import spaces
from results import text
from results.latency import NO_TABLES, LatencyRecord
from search import callables, provenance
from search.config import NOT_SMOOTHED, SearchConfig
from search.engines import Engine
from search.evaluation.evaluator import ADAPTING
from search.evaluation.scoring import criteria, sensitivities
from search.folder import Folder
from search.latency.kept import latency_of
from search.policies import SURROGATE
from search.policies.parameters import parameters
from search.policies.surrogate import TABLE
from search.progress import Progress
from search.task.amounts import SCORING, calibration_sizes
from search.task.baseline import with_baseline
from search.task.building import loaded
from search.task.doubts import check_amounts, doubts
from search.task.fit import Check, check_task, check_teacher
from search.task.own import assembled, named_task
from search.task.task import Task
from search.training.loop import penalised_scales
from search.training.own_loop import check_loop
from search.training.own_loop import told as told_loop
from spaces import Budget, Space, UserError
from spaces.budget import LATENCY, MEMORY
from spaces.memory import activation_memory


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Task, space and engine of a run, before its folder is touched.

    ``doubts`` are what a reader must know before any verdict is believed; see `search.task.doubts`.
    ``latency`` has the tables of what passes take, where that is limited.
    """

    folder: Folder
    task: Task
    space: Space
    budgets: Sequence[Budget]
    engine: Engine
    progress: Progress
    doubts: tuple[str, ...] = ()
    latency: LatencyRecord = NO_TABLES

    @property
    def config(self) -> SearchConfig:
        """The run's config."""
        return self.folder.config


def prepare(
    folder: Folder,
    engine: Engine,
    given: Task | None,
    progress: Progress,
    *checks: Check,
    distils: bool = False,
    trains: bool = True,
) -> Prepared:
    """Prepare the user's task, or the one that the config names.

    Load the data, build the network, discover its space and check all of it; only then train the
    baseline, where no weights are given.

    Args:
        given: the user's; None to build it.
        checks: further checks of network and space.
        distils: whether the network must fit to be distilled from, whatever the config says.
        trains: otherwise a baseline that is still to be trained has fresh weights.

    Raises:
        UserError: data, weights or model are missing, do not fit, or cannot be searched.
    """
    config, asked = folder.config, folder.config.task
    cache = _cache(config)
    task = given or load_task(config, cache, progress)
    check_amounts(task)
    _check_training(task, config)
    own = given is not None or asked.task is not None
    if own or asked.loss is not None or asked.metric is not None:
        check_task(task)
    progress.say(discovering(task.name if own else asked.model))
    space = spaces.discover(task.model, task.example, asked.round_to, asked.inside)
    space, latency = _limited(space, task, folder, progress)
    for check in checks:
        check(task.model, space)
    if line := text.not_counted(provenance.uncounted(space)):
        progress.say(line)
    if not own and asked.sparsity:
        penalised_scales(task.model)
    budgets = reachable(space, config)
    _check_measures(task, space, config)
    if not own and asked.weights is None:
        name = " ".join(filter(None, (asked.model, asked.data, asked.loss)))
        task = with_baseline(
            task,
            name,
            cache,
            sparsity=asked.sparsity,
            precision=asked.precision,
            replayed=config.run.replayed,
            trains=trains,
            progress=progress.working,
        )
    if distils or config.training.distill:
        check_teacher(task)
    told = tuple(doubts(task, config)) if task.base_epochs != 0 else ()
    told = (*filter(None, [provenance.of_parts(space)]), *told)
    for doubt in told:
        progress.warn(f"warning: {doubt}")
    return Prepared(
        folder=folder,
        task=task,
        space=space,
        budgets=budgets,
        engine=engine,
        progress=progress,
        doubts=told,
        latency=latency,
    )


def discovering(model: str) -> str:
    """What is said before a discovery, which takes minutes with a large network."""
    return f"discovering what can be pruned in {model}"


def load_task(config: SearchConfig, cache: Path, progress: Progress) -> Task:
    """The task that a config names, before its baseline is trained; errors as of `prepare`."""
    asked, seed = config.task, config.policies.seed
    if asked.task is not None:
        return named_task(asked.task, asked.device, seed)
    if asked.train_loop is not None:
        loop = callables.resolve(asked.train_loop)
        check_loop(loop)  # before data are read
        return replace(load_task(config.having(train_loop=None), cache, progress), train_loop=loop)
    wanted: dict[str, Any] = {
        "seed": seed,
        "train_images": asked.train_images,
        "image_size": asked.image_size,
        "classes": asked.classes,
        "cache": cache,
        "progress": progress.working,
    }
    wanted["say"] = progress.say
    named = asked.model, asked.data, asked.weights, asked.device
    if asked.loss is not None or asked.metric is not None:
        return assembled(*named, loss=asked.loss, metric=asked.metric, **wanted)
    return loaded(*named, **wanted)


def _check_training(task: Task, config: SearchConfig) -> None:
    """Refuse options of our training loop, or of the cross-entropy, where the task has its own."""
    if task.train_loop is not None:
        for useless in config.useless_with(told_loop(task.train_loop)):
            raise UserError(useless)
    if config.training.label_smoothing and not task.classifies:
        raise UserError(NOT_SMOOTHED.format("the task's own loss"))


def reachable(space: Space, config: SearchConfig) -> list[Budget]:
    """The budgets of the config.

    Raises:
        BudgetError: no policy can meet one of them, or a limit; the message has the reachable
            range.
    """
    budgets = [Budget.parse(budget) for budget in config.policies.budget]
    for budget in budgets:
        space.within(budget)
    return budgets


def _limited(
    space: Space, task: Task, folder: Folder, progress: Progress
) -> tuple[Space, LatencyRecord]:
    """The space with all costs that are limited, and the limits; what must be measured for that."""
    config, others, latency = folder.config, dict(space.others), NO_TABLES
    if MEMORY in config.costs:
        others[MEMORY] = activation_memory(task.model, space)
    if LATENCY in config.costs:
        latency = latency_of(task, space, folder, _cache(config), progress)
        others[LATENCY] = latency.cost(space.groups)
    return replace(space, others=others).limited(config.policies.limit), latency


def _cache(config: SearchConfig) -> Path:
    return Path(config.run.runs_dir) / ".cache"


def _check_measures(task: Task, space: Space, config: SearchConfig) -> None:
    """Refuse a network that lacks what criteria and proxies need, a BatchNorm in every group say,
    or that has a module of a name that the search reserves; refuse too few images."""
    parameters(space, config.searched)
    images = sum(calibration_sizes(len(task.train), SCORING, SCORING))
    measures = [*criteria(config), *sensitivities(config.having(sampler="tpe"))]
    prune_ops.check_criteria(measures, task.model, space, images, task.example)
    sizes = calibration_sizes(len(task.train), *ADAPTING)
    if config.policies.sampler == SURROGATE:
        _check_table(task, space, images)
    prune_ops.check_proxies(config.judging.proxies, task.model, sizes)


def _check_table(task: Task, space: Space, images: int) -> None:
    """Refuse a network for which the sampler's damage table cannot be computed."""
    try:
        prune_ops.check_criteria([TABLE], task.model, space, images, task.example)
    except UserError as error:
        why = str(error).rpartition("; ")[0]
        raise UserError(f"--sampler surrogate cannot begin: {why}; use --sampler tpe") from error
