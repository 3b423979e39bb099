"""Calibration: one pass over a few batches feeds every criterion that asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.collectors import COLLECTORS, Loss, Subject
from prune_ops.criteria import CRITERIA, Criterion
from prune_ops.evidence import Evidence
from prune_ops.repeatable import repeatable
from prune_ops.scores import Scores, mapped
from spaces import Space
from spaces.errors import UserError, unknown
from spaces.groups import ChannelGroup

Batch = tuple[Tensor, Tensor]


def score(
    model: nn.Module,
    space: Space,
    batches: Iterable[Batch],
    criteria: Sequence[str],
    loss: Loss = cross_entropy,
    seed: int = 0,
) -> dict[str, Scores]:
    """What each criterion says of every channel.

    >>> scores = score(model, space, task.calibration(), ["l1", "second_order"])  # doctest: +SKIP
    >>> scores["l1"]["layer1.conv1"]                                              # doctest: +SKIP
    tensor([0.9, 0.4, …])                              # (channels,), float32, CPU, higher = keep

    Args:
        model: the unpruned network; evaluated in eval mode on a copy, so it stays as it was.
        space: its prunable groups.
        batches: ``(inputs, targets)`` on the model's device, of any sizes; read once, and only if
            some criterion needs data.
        criteria: names in ``CRITERIA``.
        loss: ``loss(outputs, targets)`` → scalar, a mean over the batch.
        seed: for criteria that draw.

    Raises:
        UserError: an unknown criterion, one that cannot judge this network, no calibration images,
            or scores that are not finite.
    """
    chosen = [_criterion(name) for name in criteria]
    required = frozenset[str]().union(*(criterion.requires for criterion in chosen))
    evidence = collect(model, space.groups, batches, required, loss, seed)
    return {c.name: _checked(c.name, c(space.groups, evidence)) for c in chosen}


def collect(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    batches: Iterable[Batch],
    required: frozenset[str],
    loss: Loss,
    seed: int,
) -> Evidence:
    """The evidence with the required fields filled, by one pass over the batches."""
    if not required:
        return Evidence(model, seed)
    subject = Subject(model, groups, loss, seed)
    collectors = {name: COLLECTORS[name](subject) for name in sorted(required)}
    images = 0
    with torch.enable_grad(), repeatable(model):
        for inputs, targets in batches:
            images += len(inputs)
            for collector in collectors.values():
                collector.see(inputs, targets)
    if not images:
        raise UserError("calibration needs at least 1 image, but got none; give more training data")
    found = {name: collector.result() for name, collector in collectors.items()}
    return Evidence(model, seed, **found)


def _criterion(name: str) -> Criterion:
    if name not in CRITERIA:
        raise unknown("criterion", name, CRITERIA)
    return CRITERIA[name]


def _checked(criterion: str, scores: Scores) -> Scores:
    """The scores as float32 on the CPU, if they can be ranked."""
    plain = mapped(scores, lambda values: values.detach().float().cpu())
    if broken := [name for name, values in plain.items() if not values.isfinite().all()]:
        raise UserError(
            f"scores must be finite, but {criterion!r} gave nan or inf in {', '.join(broken[:3])}; "
            "check that the weights and the calibration images are finite"
        )
    return plain
