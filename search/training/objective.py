"""What a network is trained for and judged by: a loss, and a metric with a name and a direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from prune_ops.batches import described
from search.data.splits import Batch
from search.errors import Diverged
from search.training.hardware import outputs_of
from spaces.errors import UserError, in_one_line
from spaces.inputs import items, tensors

Loss = Callable[[Any, Any], Tensor]
"""``loss(outputs, batch)`` → one number, a mean over the batch, which is as the loader gave it.
``(outputs, labels)`` for a classifier of images without a loss of its own."""


@runtime_checkable
class Accumulated(Protocol):
    """A metric that is no mean over items, mean average precision say; torchmetrics has the same
    methods."""

    def reset(self) -> None:
        """Forget all batches."""

    def update(self, outputs: Any, targets: Any) -> None:
        """Take the outputs for one batch."""

    def compute(self) -> Any:
        """The metric of all batches since ``reset``, one number."""


@dataclass(frozen=True)
class Metric:
    """What a network is judged by, by every rung, every final training and the report.

    >>> Metric("mean absolute error", error, higher_is_better=False, unit="kg")

    Args:
        name: as the report is to say it.
        measure: ``measure(outputs, batch)`` → a tensor (items,) of a number for each, or one number
            for the batch, its mean; the mean over all items counts. Or an `Accumulated`. As of
            `Loss`, the batch is the labels where a classifier has no loss of its own.
        higher_is_better: whether a higher value is a better one.
        unit: "%" for shares from 0 to 1, which are then shown as percentages; else any, or none.

    Raises:
        UserError: there is no direction.
    """

    name: str
    measure: Callable[[Any, Any], Any] | Accumulated
    higher_is_better: bool = None  # type: ignore[assignment]  # no default: None is refused
    unit: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.higher_is_better, bool):
            got = "none" if self.higher_is_better is None else repr(self.higher_is_better)
            raise UserError(
                f"metric {self.name!r} must have a direction, but got {got}; say "
                "higher_is_better=True, or False"
            )

    @torch.no_grad()
    def score(self, model: nn.Module, batches: Iterable[Batch]) -> float:
        """The metric of ``model`` in its own mode; higher is better: minus it, where lower is.

        Raises:
            Diverged: outputs are NaN.
            UserError: the metric fails, or gives no number.
        """
        value = (
            self._accumulated(model, batches, self.measure)
            if isinstance(self.measure, Accumulated)
            else self._mean(model, batches, self.measure)
        )
        return value if self.higher_is_better else -value

    def _mean(
        self, model: nn.Module, batches: Iterable[Batch], measure: Callable[[Any, Any], Any]
    ) -> float:
        total: Tensor | float = 0.0
        watch = _Outputs(model)
        for outputs, targets, count in watch.of(batches):
            with self._told(outputs, targets):
                found = measure(outputs, targets)
                total = total + self._sum(found, count)
        watch.check()
        return float(total) / watch.seen

    def _sum(self, found: Any, count: int) -> Tensor | float:
        """Over the items of a batch."""
        if not isinstance(found, Tensor):
            return float(found) * count
        if not found.dim():
            return found.double() * count  # on its device, which no batch waits for
        if found.shape != (count,):
            raise UserError(
                f"metric {self.name!r} must give a number for each of the {count} items of a "
                f"batch, or one for all, but gives {described(found)}; take the mean over the rest"
            )
        return found.double().sum()

    def _accumulated(
        self, model: nn.Module, batches: Iterable[Batch], measure: Accumulated
    ) -> float:
        measure.reset()
        watch = _Outputs(model)
        for outputs, targets, _ in watch.of(batches):
            with self._told(outputs, targets):
                measure.update(outputs, targets)
        watch.check()
        with self._told(None, None):
            return float(measure.compute())

    def _told(self, outputs: Any, targets: Any) -> Any:
        given = f"the outputs {described(outputs)} and the batch's {described(targets)}"
        must = f"metric {self.name!r} must take {given} and give numbers, but it fails with"
        return in_one_line(UserError, must, "give a metric of (outputs, batch) that fits them")


class _Outputs:
    """Runs a network over batches, and counts the items whose outputs are NaN."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._broken: Tensor | int = 0
        self.seen = 0

    def of(self, batches: Iterable[Batch]) -> Any:
        for inputs, targets in batches:
            outputs, count = outputs_of(self._model, inputs), items(inputs)
            self._broken = self._broken + _with_nan(outputs, count)
            self.seen += count
            yield outputs, targets, count

    def check(self) -> None:
        """Raise if there were any, or if nothing was seen."""
        if not self.seen:
            raise UserError("a metric needs at least 1 item, but got none; give more data")
        if self._broken:
            raise Diverged(f"the outputs are NaN for {int(self._broken)} of {self.seen} images")


def _with_nan(outputs: Any, count: int) -> Tensor:
    """How many of the items have NaN in their outputs; all, where items cannot be told apart."""
    found = [t for t in tensors(outputs) if t.is_floating_point() and t.numel()]
    if all(t.dim() and len(t) == count for t in found) and found:
        return torch.stack([t.isnan().reshape(count, -1).any(1) for t in found]).any(0).sum()
    return count * torch.stack([t.isnan().any() for t in found]).any() if found else torch.zeros(())


def _right(outputs: Tensor, targets: Any) -> Tensor:
    labels = targets[1] if isinstance(targets, (tuple, list)) else targets
    return outputs.argmax(dim=1) == labels


ACCURACY = Metric("accuracy", _right, higher_is_better=True, unit="%")
"""Of logits (B, classes): the share of the images whose highest logit is their class."""
