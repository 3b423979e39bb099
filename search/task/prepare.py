"""The one door to a run: data and network are read once, and what cannot be searched is refused
before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

import prune_ops
import spaces
from results import text
from search import provenance
from search.config import SearchConfig
from search.evaluation.evaluator import ADAPTING
from search.evaluation.scoring import criteria
from search.policies.sampler import parameters
from search.progress import Progress
from search.task.building import build_task
from search.task.checks import Check
from search.task.fit import check_fit
from search.task.task import SCORING, Task, calibration_sizes
from search.training.loop import penalised_scales
from spaces import Budget, Space


def prepared(
    task: Task | None, config: SearchConfig, progress: Progress, *checks: Check
) -> tuple[Task, Space]:
    """The user's task, or the one that the config names, and its space.

    Load the data, build the network, discover its space and check all of it; only then train the
    baseline, where no weights are given.

    Args:
        task: None to build it.
        checks: further checks of network and space.

    Raises:
        UserError: data, weights or model are missing, do not fit, or cannot be searched.
    """
    discovered: list[Space] = []

    def discover(model: nn.Module, example: tuple[Tensor, ...], train_images: int) -> None:
        space = spaces.discover(model, example, config.task.round_to)
        for check in checks:
            check(model, space)
        if line := text.not_counted(provenance.uncounted(space)):
            progress.say_once(line)
        if task is None and config.task.sparsity:
            penalised_scales(model)
        reachable(space, config)
        _check_criteria(model, example, space, train_images, config)
        _check_proxies(model, train_images, config)
        discovered.append(space)

    if task is None:
        task = _built(config, progress, discover)
    else:
        check_fit(task.model, task.example, task.classes, task.name, "the task")
        discover(task.model, task.example, len(task.train))
    return task, discovered[0]


def _built(
    config: SearchConfig,
    progress: Progress,
    discover: Callable[[nn.Module, tuple[Tensor, ...], int], None],
) -> Task:
    return build_task(
        config.task.model,
        config.task.data,
        weights=config.task.weights,
        seed=config.policies.seed,
        device=config.task.device,
        sparsity=config.task.sparsity,
        train_images=config.task.train_images,
        image_size=config.task.image_size,
        cache=Path(config.run.runs_dir) / ".cache",
        progress=progress.working,
        before_training=discover,
    )


def reachable(space: Space, config: SearchConfig) -> list[Budget]:
    """The budgets of the config.

    Raises:
        BudgetError: no policy can meet one of them; the message has the reachable range.
    """
    budgets = [Budget.parse(budget) for budget in config.policies.budget]
    for budget in budgets:
        space.limit(budget)
    return budgets


def _check_criteria(
    model: nn.Module,
    example: tuple[Tensor, ...],
    space: Space,
    train_images: int,
    config: SearchConfig,
) -> None:
    """Check that the criteria can judge this network and will have enough images.

    Raises:
        UserError: a criterion needs what the network lacks, a BatchNorm in every group say, or a
            module has a name that the search reserves.
    """
    parameters(space, config.searched)
    images = sum(calibration_sizes(train_images, SCORING, SCORING))
    prune_ops.check_criteria(criteria(config), model, space, images, example)


def _check_proxies(model: nn.Module, train_images: int, config: SearchConfig) -> None:
    """Check that the proxies will have what they need.

    Raises:
        UserError: too few images, or a network without the layers they measure.
    """
    sizes = calibration_sizes(train_images, *ADAPTING)
    prune_ops.check_proxies(config.judging.proxies, model, sizes)
