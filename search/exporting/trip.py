"""The round trip: real data through the network and through its file, and what differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from prune_ops.artifact.passes import TOLERANCES
from results.metric import ACCURACY, MetricInfo
from search.data.splits import Batch, Split
from search.exporting.formats import Run
from spaces.inputs import Inputs, arguments, items, part, repeated, tensors

BATCH = 64
"""Items at once where the file takes any number."""
FLIPS = 1e-3
"""The share of the items, beyond the first, whose class may differ: near ties are rounding. Of
another metric, the share of its own value."""

Score = Callable[[nn.Module, Iterable[Batch]], float]
"""The metric of a network on batches, accuracy say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """What came of it.

    Attributes:
        items: how many went both ways.
        largest: the largest absolute difference of any output.
        scale: the largest absolute output of the network itself.
        allowed: the most that ``largest`` may be, as a share of ``scale``.
        before, after: the score of the network and of the file on these items.
        metric: what the scores are of.
    """

    items: int
    largest: float
    scale: float
    allowed: float
    before: float
    after: float
    metric: MetricInfo = ACCURACY

    @property
    def broken(self) -> str:
        """What differs more than rounding explains, in words; empty where nothing does."""
        if not self.largest <= self.allowed * self.scale:
            return (
                f"outputs differ by up to {self.largest:.3g} of {self.scale:.3g}, and "
                f"{self.allowed * self.scale:.2g} is the most"
            )
        counted = self.metric.is_share
        apart = 1 / self.items + FLIPS if counted else FLIPS * max(abs(self.before), FLIPS)
        if not abs(self.after - self.before) <= apart:
            after, before = map(self.metric.with_unit, (self.after, self.before))
            return f"its {self.metric.name} is {after}, not {before}"
        return ""


@torch.no_grad()
def round_trip(
    model: nn.Module,
    run: Run,
    split: Split,
    most: int,
    score: Score,
    *,
    batch: int | None = None,
    alone: bool = False,
    metric: MetricInfo = ACCURACY,
) -> Trip:
    """Send the first ``most`` items of a split through both.

    Args:
        model: in eval mode, on the CPU.
        run: takes what ``model`` takes.
        batch: the only number of items that ``run`` takes at once; None for any.
        metric: what ``score`` is of.
        alone: whether the first item of each batch goes through alone, to try several numbers.
    """
    batches = list(_first(split, most, batch or BATCH))
    given = [arguments(model, inputs) for inputs, _ in batches]
    wanted = [_called(model, inputs) for inputs in given]
    got = [_in_batches(run, inputs, batch, alone) for inputs in given]
    pairs = [
        pair
        for mine, its in zip(wanted, got, strict=True)
        for pair in zip(tensors(mine), its, strict=True)
    ]
    same = [tree_map_only(Tensor, _next(its), mine) for mine, its in zip(wanted, got, strict=True)]
    return Trip(
        items=sum(items(inputs) for inputs in given),
        largest=max(_difference(*pair) for pair in pairs),
        scale=max(mine[mine.isfinite()].abs().max().item() for mine, _ in pairs),
        allowed=max(TOLERANCES.get(mine.dtype, 0.0) for mine, _ in pairs),
        before=score(_Known(wanted), batches),
        after=score(_Known(same), batches),
        metric=metric,
    )


class _Known(nn.Module):
    """A network whose outputs for batch after batch are known."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        super().__init__()
        self._outputs = iter(outputs)

    def forward(self, *_: Any, **__: Any) -> Any:
        return next(self._outputs)


def _first(split: Split, most: int, size: int) -> Iterator[Batch]:
    left = most
    for inputs, targets in split.batches(size):
        count = items(inputs)
        yield (
            (inputs, targets) if count <= left else (part(inputs, 0, left), part(targets, 0, left))
        )
        left -= count
        if left <= 0:
            return


def _called(run: Run, inputs: Inputs) -> Any:
    return run(**inputs) if isinstance(inputs, dict) else run(*inputs)


def _next(outputs: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that gives one after another, for whatever."""
    left = iter(outputs)
    return lambda _: next(left)


def _in_batches(run: Run, inputs: Inputs, size: int | None, alone: bool) -> list[Tensor]:
    """The output tensors for all items, in batches that the file takes."""
    count = items(inputs)
    ends = [*range(0, count, size or count), count]
    if alone and size is None and count > 1:
        ends = [0, 1, count]
    outputs = [
        tensors(_called(run, _filled(part(inputs, *between), size))) for between in pairwise(ends)
    ]
    if len(outputs) == 1 and size in (None, count):
        return outputs[0]
    return [torch.cat(several)[:count] for several in zip(*outputs, strict=True)]


def _filled(inputs: Inputs, size: int | None) -> Inputs:
    """A short batch filled up with its own items."""
    filled = inputs
    while size is not None and items(filled) < size:
        filled = repeated(filled)
    return filled if size is None else part(filled, 0, size)


def _difference(one: Tensor, other: Tensor) -> float:
    """The largest absolute difference; infinite of other shapes, or where only one is finite."""
    if one.shape != other.shape:
        return math.inf
    finite = one.isfinite()
    if not torch.equal(finite, other.isfinite()):
        return math.inf
    apart = (one.double() - other.double())[finite].abs()
    return apart.max().item() if apart.numel() else 0.0
