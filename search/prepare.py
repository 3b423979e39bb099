"""Before anything is trained: what cannot be searched is refused, what can is built and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

import prune_ops
import spaces
from prune_ops import CRITERIA, Scores, normalised
from results import text
from search import provenance
from search.config import SearchConfig
from search.evaluator import ADAPTING
from search.fit import check_fit
from search.inspect import loaded, untrained
from search.layers import damages
from search.progress import Progress
from search.sampler import parameters
from search.task import SCORING, Task, build_task, calibration_sizes
from search.train import penalised_scales
from spaces import Budget, ModelError, Space
from spaces.errors import in_one_line
from spaces.state import plain_state

Check = Callable[[nn.Module, Space], None]
"""Refuses a network, or what of it can be searched, by a `UserError`."""


def anything(_model: nn.Module, _space: Space) -> None:
    """Whatever can be searched is welcome."""


def savable(model: nn.Module, _space: Space) -> None:
    """What comes out of a search is saved: better to know before it that this cannot be.

    Raises:
        DataError: the extra state of a module is not of tensors and plain values.
    """
    plain_state(model)


def every(*checks: Check) -> Check:
    """All of them, one after another."""

    def check(model: nn.Module, space: Space) -> None:
        for each in checks:
            each(model, space)

    return check


def build(config: SearchConfig, progress: Progress, check: Check = anything) -> Task:
    """The task that the config names; ``check`` comes before anything is trained.

    Raises:
        UserError: data, weights or model are not there or do not fit, or it cannot be searched.
    """
    cache = Path(config.run.runs_dir) / ".cache"
    if config.task.weights is None:
        # The baseline may take long; what cannot be searched is refused before it is trained.
        _refuse(config, cache, check, progress)
    return build_task(
        config.task.model,
        config.task.data,
        weights=config.task.weights,
        seed=config.policies.seed,
        device=config.task.device,
        sparsity=config.task.sparsity,
        train_images=config.task.train_images,
        image_size=config.task.image_size,
        cache=cache,
        progress=progress.working,
    )


def given(task: Task) -> Task:
    """The user's own task, if it is one that a search takes.

    Raises:
        DataError: its model takes other inputs than one image, or gives no logits.
    """
    check_fit(task.model, task.example, task.classes, task.name, "the task")
    return task


def tell_uncounted(space: Space, progress: Progress) -> None:
    """Name what multiplies weights and is in no count, before anything is trained."""
    if line := text.not_counted(provenance.uncounted(space)):
        progress.say_once(line)


def _refuse(config: SearchConfig, cache: Path, check: Check, progress: Progress) -> None:
    splits = loaded(config.task, cache)
    model, example = untrained(config.task, splits, config.policies.seed)
    check_fit(model, example, splits.classes, config.task.model, f"data {config.task.data!r}")
    space = spaces.discover(model, example, config.task.round_to)
    check(model, space)
    tell_uncounted(space, progress)
    if config.task.sparsity:
        penalised_scales(model)
    reachable(space, config)
    check_criteria(model, example, space, len(splits.train), config)
    check_proxies(model, len(splits.train), config)


def reachable(space: Space, config: SearchConfig) -> list[Budget]:
    """The budgets of the config.

    Raises:
        BudgetError: one that no policy can meet, with the reachable range.
    """
    budgets = [Budget.parse(budget) for budget in config.policies.budget]
    for budget in budgets:
        space.limit(budget)
    return budgets


def check_criteria(
    model: nn.Module,
    example: tuple[Tensor, ...],
    space: Space,
    train_images: int,
    config: SearchConfig,
) -> None:
    """Ask whether the criteria can judge this network and will have the images they need.

    Raises:
        UserError: a criterion needs what is not there, a BatchNorm in every group say; the network
            has a name that the search needs for itself.
    """
    parameters(space, config.searched)
    images = sum(calibration_sizes(train_images, SCORING, SCORING))
    prune_ops.check_criteria(criteria(config), model, space, images, example)


def check_proxies(model: nn.Module, train_images: int, config: SearchConfig) -> None:
    """Ask whether there is what the proxies need.

    Raises:
        UserError: too few images, or a network without what they look at.
    """
    sizes = calibration_sizes(train_images, *ADAPTING)
    prune_ops.check_proxies(config.judging.proxies, model, sizes)


def criteria(config: SearchConfig) -> list[str]:
    """Those that choose channels and those that rank them for the starts."""
    ranked = [name for name in config.policies.starts if name in CRITERIA]
    return sorted({config.reference, *config.searched, *ranked})


def choosers(scores: Mapping[str, Scores], config: SearchConfig) -> dict[str, Scores]:
    """The scores of the criteria that say which channels stay, as a ``Climb`` takes them."""
    return {
        name: in_one_unit(scores[name], name) for name in config.searched or (config.reference,)
    }


def in_one_unit(scores: Scores, criterion: str) -> Scores:
    """A criterion's scores fit to be added up over groups, as predicted damage does."""
    return scores if CRITERIA[criterion].comparable else normalised(scores)


def score(
    task: Task, space: Space, config: SearchConfig, progress: Progress
) -> Mapping[str, Scores]:
    """All that the run asks for, under its names: criteria's scores of every channel, and what
    importances found in every group.

    Raises:
        UserError: as ``prune_ops.score``, or the model fails on the images.
    """
    must = "the model must run on training images, but scoring it failed with"
    with in_one_line(ModelError, must, "try a forward and a backward pass"):
        scores = prune_ops.score(
            task.model, space, task.calibration(), criteria(config), seed=config.policies.seed
        )
        return scores | damages(task, space, config, scores[config.reference], progress)
