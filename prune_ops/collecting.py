"""Collecting statistics: the passes over calibration images, and what is run in each of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Batch, Pair, read
from prune_ops.collectors import CURVATURE, FORWARD, GRADIENT, OUTPUTS
from prune_ops.collectors.collector import Collector, Loss, Subject
from prune_ops.criterion import CalibrationStats
from prune_ops.probing import probed
from prune_ops.running import evaluate_loss, forward, repeatable
from spaces import Space
from spaces.errors import UserError


def collect(
    model: nn.Module,
    space: Space,
    batches: Iterable[Pair],
    required: frozenset[str],
    loss: Loss = cross_entropy,
    seed: int = 0,
) -> tuple[CalibrationStats, int]:
    """Statistics with the required fields, by one pass over the batches; the number of images.

    Raises:
        NoGradients: gradients are required and there are none; else errors as of `score`.
    """
    subject = Subject(model, space, seed)
    batched, gradient, curvature, outputs = (
        {name: table[name](subject) for name in sorted(required & table.keys())}
        for table in (FORWARD, GRADIENT, CURVATURE, OUTPUTS)
    )
    generator = torch.Generator().manual_seed(seed)
    images, kept = 0, list[Batch]()
    with repeatable(model):
        for batch in read(batches, space.batched):
            images += batch.images
            if batched:
                with torch.no_grad(), observing(batched.values(), batch.images):
                    forward(subject.model, batch.inputs)
            targeted = partial(evaluate_loss, loss)
            if gradient:
                run_backward(subject, batch, targeted, gradient.values())
            if curvature:
                run_backward(subject, batch, targeted, curvature.values(), twice=True)
            if outputs:
                kept.append(batch)
                run_backward(subject, batch, directions(loss, generator), outputs.values())
    if not images:
        raise UserError("calibration needs at least 1 image, but got none; give more training data")
    collectors = batched | gradient | curvature | outputs
    fields = {name: collector.result() for name, collector in collectors.items()}
    return CalibrationStats(model, seed, tuple(kept), **fields), images


@torch.enable_grad()
def run_backward(
    subject: Subject,
    batch: Batch,
    value: Callable[[Any, Any], Tensor],
    collectors: Collection[Collector],
    twice: bool = False,
) -> None:
    """Forward and backward for every item, from ``value(outputs, targets)`` → scalar.

    Args:
        twice: for gradients to differentiate once more.
    """
    for single in batch.singles():
        with observing(collectors, 1):
            outputs = forward(subject.model, single.inputs)
            gradients = subject.gradients(value(outputs, single.targets), create_graph=twice)
        for collector in collectors:
            collector.image(gradients)
    for collector in collectors:
        collector.batch_ends()


def directions(loss: Loss, generator: torch.Generator) -> Callable[[Any, Any], Tensor]:
    """Random directions of the outputs, for `run_backward`."""
    return lambda outputs, _targets: probed(outputs, loss, generator)


@contextmanager
def observing(collectors: Iterable[Collector], images: int) -> Iterator[None]:
    with ExitStack() as stack:
        for collector in collectors:
            stack.enter_context(collector.observing(images))
        yield
