"""The calibration passes, which collectors observe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Batch, Pair, read
from prune_ops.calibration_stats import CalibrationStats
from prune_ops.collectors import CURVATURE, FORWARD, GRADIENT
from prune_ops.collectors.collector import Collector, Loss, NoGradients, Subject
from prune_ops.running import evaluate_loss, forward, repeatable
from spaces import Space
from spaces.errors import UserError
from spaces.inputs import Inputs, tensors


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
        NoGradients: gradients are required and there are none; else errors as of ``score``.
    """
    subject = Subject(model, space, loss, seed)
    by_pass = [
        {name: table[name](subject) for name in sorted(required & table.keys())}
        for table in (FORWARD, GRADIENT, CURVATURE)
    ]
    batched, gradient, curvature = (list(collectors.values()) for collectors in by_pass)
    images = 0
    with repeatable(model):
        for batch in read(batches, space.batched):
            images += batch.images
            if batched:
                with torch.no_grad(), _observing(batched, batch.images):
                    forward(subject.model, batch.inputs)
            if gradient:
                _run_backward(subject, batch, gradient)
            if curvature:
                _run_backward(subject, batch, curvature, create_graph=True)
    if not images:
        raise UserError("calibration needs at least 1 image, but got none; give more training data")
    fields = {name: c.result() for collectors in by_pass for name, c in collectors.items()}
    return CalibrationStats(model, seed, **fields), images


@torch.enable_grad()
def check_derivatives(
    model: nn.Module, space: Space, example: Inputs, required: frozenset[str]
) -> None:
    """Raise NoGradients unless the outputs have the required first and second derivatives."""
    subject = Subject(model, space, cross_entropy)
    curvature = [CURVATURE[name](subject) for name in required & CURVATURE.keys()]
    with _observing(curvature, 1):
        outputs = tensors(forward(subject.model, example))
        squares = [output.square().sum() for output in outputs if output.is_floating_point()]
        if not squares:
            raise NoGradients("its outputs hold no tensor of real numbers")
        gradients = subject.gradients(torch.stack(squares).sum(), bool(curvature))
    for collector in curvature:
        collector.image(gradients)


@torch.enable_grad()
def _run_backward(
    subject: Subject, batch: Batch, collectors: Sequence[Collector], create_graph: bool = False
) -> None:
    for single in batch.singles():
        with _observing(collectors, 1):
            outputs = forward(subject.model, single.inputs)
            loss = evaluate_loss(subject.loss, outputs, single.targets)
            gradients = subject.gradients(loss, create_graph)
        for collector in collectors:
            collector.image(gradients)
    for collector in collectors:
        collector.batch_ends()


@contextmanager
def _observing(collectors: Iterable[Collector], images: int) -> Iterator[None]:
    with ExitStack() as stack:
        for collector in collectors:
            stack.enter_context(collector.observing(images))
        yield
