"""``python search.py inspect``: what of a model can be pruned, and how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from results import text
from search import data, models
from search.config import TaskConfig
from search.provenance import of_parts, uncounted
from search.task.fit import check_takes
from spaces import ChannelGroup, Space, module_of
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
    fewest = space.params(space.lattice.low)
    shapes = [" × ".join(str(n) for n in tensor.shape[1:]) for tensor in tensors(example)]
    what = "image" if len(shapes) == 1 and tensors(example)[0].dim() == 4 else "item"
    lines = [
        f"{full:,} FLOPs (multiply-adds) for one {what} of {text.listed(shapes)}; "
        f"{space.full_params:,} parameters.",
        f"Budgets from {low / full:.3f} ({low:,} FLOPs) to 1 can be met. Less cannot: with the "
        f"fewest channels most of it is in {', '.join(space.floor_setters())}.",
        f"Limits of parameters can be met from {fewest / space.full_params:.3f} ({fewest:,}).",
        "",
        "A group is channels that are cut together; it bears the name of the layer they come from.",
    ]
    tables = _groups(space), Text(), _frozen(space)
    notes = of_parts(space), text.not_counted(uncounted(space))
    lines[2:2] = filter(None, notes)
    return Group(*map(Text, lines), *tables)


def listed(name: str, space: Space, example: Inputs) -> dict[str, Any]:
    """What ``search.py inspect --json`` prints; ``docs/tables.md`` says what each name means."""
    return {
        "model": name,
        "inputs": [list(tensor.shape[1:]) for tensor in tensors(example)],
        "flops": space.full_flops,
        "params": space.full_params,
        "floor_flops": space.floor_flops,
        "groups": [_group(space, index) for index in range(len(space.groups))],
        "frozen": [asdict(frozen) for frozen in space.frozen],
        "uncounted": uncounted(space),
    }


def _group(space: Space, index: int) -> dict[str, Any]:
    """A group, and what the whole network costs at each of its widths, the others being whole."""
    group = space.groups[index]
    widths = np.tile(space.widths(space.full), (len(group.choices), 1))
    widths[:, index] = group.choices
    return {
        "name": group.name,
        "channels": group.channels,
        "widths": list(group.choices),
        "flops": space.flops(widths).tolist(),
        "params": space.params(widths).tolist(),
        "layers": _layers(group),
    }


def _layers(group: ChannelGroup) -> list[str]:
    """The modules in which channels of the group are cut, in the network's order."""
    return list(dict.fromkeys(module_of(member.parameter) for member in group.members))


def _groups(space: Space) -> Table:
    table = Table("group", box=None, header_style="bold", pad_edge=False)
    for title in ("channels", "may keep", "in steps of", "layers"):
        table.add_column(title, justify="right")
    for g in space.groups:
        fewest, *more = g.choices
        step = str(more[0] - fewest) if more else ""
        kept = f"{fewest} to {g.channels}" if more else str(fewest)
        table.add_row(g.name, str(g.channels), kept, step, str(len(_layers(g))))
    return table


def _frozen(space: Space) -> Table:
    table = Table("cannot be cut", box=None, header_style="bold", pad_edge=False)
    table.add_column("channels", justify="right")
    table.add_column("because")
    for frozen in space.frozen:
        table.add_row(frozen.name, str(frozen.channels), frozen.reason)
    return table
