"""``python search.py inspect``: what of a model can be pruned, and how far, before any training."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import spaces
from search import data, models
from search.config import TaskConfig
from spaces import Space


def untrained(config: TaskConfig, cache: Path) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model with fresh weights, on the CPU, and one image as its input.

    Raises:
        UserError: as ``build_task``.
    """
    models.check(config.model)
    splits = data.load(
        config.data,
        device=torch.device("cpu"),
        image_size=config.image_size,
        train_images=config.train_images,
        cache=cache,
    )
    torch.manual_seed(0)
    model = models.build(config.model, splits.classes, splits.shape[0])
    if config.weights is not None:
        models.load_weights(model, config.weights)
    image, _ = next(iter(splits.validation.batches(1)))
    return model.eval(), (image[:1],)


def inspect(config: TaskConfig, cache: Path, console: Console) -> Space:
    """Print the groups, the frozen channels with their reasons and the reachable budgets.

    >>> inspect(TaskConfig(model="resnet18", data="cifar10"), Path("runs/.cache"), Console())
    """
    space = spaces.discover(*untrained(config, cache), config.round_to)
    console.print(_groups(space), _frozen(space), sep="\n")
    low, full = space.floor_flops, space.full_flops
    console.print(
        f"{full:,} flops, {space.full_params:,} parameters. Reachable budgets: from "
        f"{low / full:.3f} ({low:,} flops) to 1; the floor is set by "
        f"{', '.join(space.floor_setters())}.",
        highlight=False,
    )
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
    for each in space.frozen:
        table.add_row(each.name, str(each.channels), each.reason)
    return table
