"""The passes over the calibration data, which collectors look on at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Batch, Pair, read
from prune_ops.collectors import CURVATURE, FORWARD, GRADIENT, Collector, Loss, Subject
from prune_ops.collectors.subject import NoGradients
from prune_ops.evidence import Evidence
from prune_ops.repeatable import repeatable
from prune_ops.running import measured, ran
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
) -> tuple[Evidence, int]:
    """The evidence with the required fields filled, by one pass over the batches; how many images.

    Raises:
        UserError: no image at all, or batches or a loss that cannot be used.
        ModelError: the network does not run on the batches.
        NoGradients: gradients are required and there are none.
    """
    subject = Subject(model, space, loss, seed)
    forward = {name: FORWARD[name](subject) for name in sorted(required & FORWARD.keys())}
    gradient = {name: GRADIENT[name](subject) for name in sorted(required & GRADIENT.keys())}
    second = {name: CURVATURE[name](subject) for name in sorted(required & CURVATURE.keys())}
    images = 0
    with repeatable(model):
        for batch in read(batches, space.batched):
            images += batch.images
            if forward:
                _forward(subject, batch, list(forward.values()))
            if gradient:
                _backward(subject, batch, list(gradient.values()))
            if second:
                _backward(subject, batch, list(second.values()), again=True)
    if not images:
        raise UserError("calibration needs at least 1 image, but got none; give more training data")
    found = {name: each.result() for name, each in (forward | gradient | second).items()}
    return Evidence(model, seed, **found), images


@torch.enable_grad()
def differentiate(
    model: nn.Module, space: Space, example: Inputs, required: frozenset[str]
) -> None:
    """Once, and where that is required twice, the outputs for the example.

    Raises:
        ModelError: the network does not run on the example.
        NoGradients: that cannot be done.
    """
    subject = Subject(model, space, cross_entropy)
    second = [CURVATURE[name](subject) for name in required & CURVATURE.keys()]
    with _watching(second, 1):
        outputs = tensors(ran(subject.model, example))
        squares = [each.square().sum() for each in outputs if each.is_floating_point()]
        if not squares:
            raise NoGradients("its outputs hold no tensor of real numbers")
        gradients = subject.gradients(torch.stack(squares).sum(), bool(second))
    for collector in second:
        collector.image(gradients)


@torch.no_grad()
def _forward(subject: Subject, batch: Batch, collectors: Sequence[Collector]) -> None:
    with _watching(collectors, batch.images):
        ran(subject.model, batch.inputs)


@torch.enable_grad()
def _backward(
    subject: Subject, batch: Batch, collectors: Sequence[Collector], again: bool = False
) -> None:
    for single in batch.singles():
        with _watching(collectors, 1):
            outputs = ran(subject.model, single.inputs)
            loss = measured(subject.loss, outputs, single.targets)
            gradients = subject.gradients(loss, again)
        for collector in collectors:
            collector.image(gradients)
    for collector in collectors:
        collector.batch_ends()


@contextmanager
def _watching(collectors: Iterable[Collector], images: int) -> Iterator[None]:
    with ExitStack() as stack:
        for collector in collectors:
            stack.enter_context(collector.watching(images))
        yield
