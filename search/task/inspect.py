"""``python search.py inspect``: what of a model can be pruned, and how far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from results import text
from search import data, models
from search.config import TaskConfig
from search.provenance import uncounted
from search.task.fit import check_takes
from spaces import Space
from spaces.inputs import Inputs, tensors


def built(
    config: TaskConfig, cache: Path | None = None, say: Callable[[str], None] = print
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model on the CPU, with fresh weights unless some are given, and one image as its input.

    Args:
        cache: folder for data, whose first image is taken; without it no data is read, and the
            image is blank, of the model's usual size or ``image_size``.
        say: called with a line for what should be known of the weights.

    Raises:
        UserError: as ``build_task``, but the outputs are not checked.
    """
    models.check(config.model)
    if cache is None:
        (channels, side, _), classes = models.usual(config.model)
        side, classes = config.image_size or side, config.classes or classes
        image, of = torch.zeros(1, channels, side, side), ""
    else:
        limits = {
            "image_size": config.image_size,
            "classes": config.classes,
            "train_images": config.train_images,
        }
        splits = data.load(config.data, cache=cache, **limits)
        image = next(iter(splits.validation.batches(1)))[0][:1]
        channels, classes, of = splits.shape[0], splits.classes, f" of data {config.data!r}"
    torch.manual_seed(0)
    model = models.build(config.model, classes, channels)
    if config.weights is not None:
        model, lines = models.given_weights(model, config.weights)
        for line in lines:
            say(line)
    check_takes(model.eval(), (image,), config.model, of)
    return model, (image,)


def described(space: Space, example: Inputs) -> RenderableType:
    """The groups, the frozen channels with their reasons and the reachable budgets.

    >>> model, example = built(TaskConfig(model="resnet18"))
    >>> Console().print(described(spaces.discover(model, example), example))  # doctest: +SKIP
    """
    low, full = space.floor_flops, space.full_flops
    shapes = [" × ".join(str(n) for n in tensor.shape[1:]) for tensor in tensors(example)]
    what = "image" if len(shapes) == 1 and tensors(example)[0].dim() == 4 else "item"
    lines = [
        f"{full:,} FLOPs (multiply-adds) for one {what} of {text.listed(shapes)}; "
        f"{space.full_params:,} parameters.",
        f"Budgets from {low / full:.3f} ({low:,} FLOPs) to 1 can be met. Less cannot: with the "
        f"fewest channels most of it is in {', '.join(space.floor_setters())}.",
        "",
        "A group is channels that are cut together; it bears the name of the layer they come from.",
    ]
    tables = _groups(space), Text(), _frozen(space)
    if line := text.not_counted(uncounted(space)):
        lines.insert(2, line)
    return Group(*map(Text, lines), *tables)


def _groups(space: Space) -> Table:
    table = Table("group", box=None, header_style="bold", pad_edge=False)
    for title in ("channels", "may keep", "in steps of", "layers"):
        table.add_column(title, justify="right")
    for g in space.groups:
        fewest, *more = g.choices
        step = str(more[0] - fewest) if more else ""
        layers = {member.parameter.rpartition(".")[0] for member in g.members}
        kept = f"{fewest} to {g.channels}" if more else str(fewest)
        table.add_row(g.name, str(g.channels), kept, step, str(len(layers)))
    return table


def _frozen(space: Space) -> Table:
    table = Table("cannot be cut", box=None, header_style="bold", pad_edge=False)
    table.add_column("channels", justify="right")
    table.add_column("because")
    for frozen in space.frozen:
        table.add_row(frozen.name, str(frozen.channels), frozen.reason)
    return table
