"""Whether loss and metric agree on which network is the better one.

A metric whose direction is set wrongly turns a search round: it ships the worst network it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from statistics import fmean

import torch
from torch import nn

from prune_ops.running import evaluate_loss
from search.data.splits import Batch
from search.errors import Diverged
from search.task.task import Task
from search.training.hardware import outputs_of
from spaces.copies import copied
from spaces.errors import UserError

COPIES = 3
BATCHES = 16
"""Of the validation split that are looked at, at most; each half of them must say the same."""
BATCH = 64


def disagreement(task: Task) -> Iterator[str]:
    """A clause where the loss finds the unpruned network better than each of its copies with
    shuffled weights, and the metric finds it worse than each, on both halves of the batches.

    None where loss and metric are the usual ones, and where a copy cannot be judged.
    """
    if task.counts_classes:
        return
    batches = list(islice(task.validation.batches(BATCH), BATCHES))
    halves = [half for half in (batches[::2], batches[1::2]) if half]
    with suppress(Diverged, UserError):
        ours = [_judged(task, task.model, half) for half in halves]
        for seed in range(COPIES):
            copy = _shuffled(task.model, seed)
            for half, (loss, score) in zip(halves, ours, strict=True):
                their_loss, their_score = _judged(task, copy, half)
                if not (loss < their_loss and score < their_score):
                    return
        way = "higher" if task.metric.higher_is_better else "lower"
        yield (
            "the loss finds the unpruned network better than copies of it with shuffled weights, "
            f"but {task.metric.name}, of which {way} is said to be better, finds it worse: the "
            "search would choose the worst networks; check the metric's higher_is_better"
        )


@torch.no_grad()
def _judged(task: Task, model: nn.Module, batches: Sequence[Batch]) -> tuple[float, float]:
    """The mean loss of the batches, and the score."""
    losses = [
        float(evaluate_loss(task.loss, outputs_of(model, inputs), targets))
        for inputs, targets in batches
    ]
    return fmean(losses), task.metric.score(model, batches)


@torch.no_grad()
def _shuffled(model: nn.Module, seed: int) -> nn.Module:
    """A copy in eval mode, the values of each of its weights in a random order."""
    copy = copied(model).eval()
    generator = torch.Generator().manual_seed(seed)
    for weight in copy.parameters():
        order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
        weight.copy_(weight.flatten()[order].view_as(weight))
    return copy
