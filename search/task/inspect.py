"""``python search.py inspect``: what of a model can be pruned, and how far."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import spaces
from results import text
from search import data, models
from search.config import TaskConfig
from search.provenance import uncounted
from search.task.fit import check_takes
from spaces import Space


def with_data(config: TaskConfig, cache: Path) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model with fresh weights, on the CPU, and one image of the data as its input.

    Raises:
        UserError: as ``build_task``, but the outputs are not checked.
    """
    models.check(config.model)
    splits = data.load(
        config.data,
        device=torch.device("cpu"),
        image_size=config.image_size,
        train_images=config.train_images,
        cache=cache,
    )
    image, _ = next(iter(splits.validation.batches(1)))
    model = _built(config, splits.classes, splits.shape[0])
    example = (image[:1],)
    check_takes(model, example, config.model, f" of data {config.data!r}")
    return model, example


def without_data(config: TaskConfig) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model for its usual image size, or ``image_size``, and a blank image as its input.

    Raises:
        UserError: no such model, or it does not take that image.
    """
    models.check(config.model)
    (channels, side, _), classes = models.usual(config.model)
    side = config.image_size or side
    model = _built(config, classes, channels)
    example = (torch.zeros(1, channels, side, side),)
    check_takes(model, example, config.model)
    return model, example


def _built(config: TaskConfig, classes: int, channels: int) -> nn.Module:
    torch.manual_seed(0)
    model = models.build(config.model, classes, channels)
    if config.weights is not None:
        models.load_weights(model, config.weights)
    return model.eval()


def inspect(
    model: nn.Module, example: tuple[Tensor, ...], round_to: int | None, console: Console
) -> Space:
    """Print the groups, the frozen channels with their reasons and the reachable budgets.

    >>> inspect(*without_data(TaskConfig(model="resnet18")), None, Console())
    """
    space = spaces.discover(model, example, round_to)
    console.print(_groups(space), _frozen(space), sep="\n")
    low, full = space.floor_flops, space.full_flops
    shape = " × ".join(str(n) for n in example[0].shape[1:])
    console.print(
        f"{full:,} flops for one image of {shape}, {space.full_params:,} parameters. "
        f"Reachable budgets: from {low / full:.3f} ({low:,} flops) to 1; the floor is set by "
        f"{', '.join(space.floor_setters())}.",
        highlight=False,
    )
    if line := text.not_counted(uncounted(space)):
        console.print(line, highlight=False, markup=False)
    return space


def _groups(space: Space) -> Table:
    table = Table("group", box=None, header_style="bold", pad_edge=False)
    for title in ("channels", "least", "step", "places"):
        table.add_column(title, justify="right")
    for g in space.groups:
        step = g.choices[1] - g.choices[0] if len(g.choices) > 1 else 0
        row = (g.channels, g.choices[0], step, len(g.members))
        table.add_row(g.name, *map(str, row))
    return table


def _frozen(space: Space) -> Table:
    table = Table("frozen", box=None, header_style="bold", pad_edge=False)
    table.add_column("channels", justify="right")
    table.add_column("because")
    for frozen in space.frozen:
        table.add_row(frozen.name, str(frozen.channels), frozen.reason)
    return table
