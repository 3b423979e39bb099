"""Batches of calibration data: pairs of inputs and targets, and the items in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten

from spaces.errors import DataError, UserError, in_one_line
from spaces.inputs import items, joined, part, tensors

Pair = tuple[Any, Any]
"""``(inputs, targets)`` on the model's device. Inputs are a tensor, a tuple by position or a dict
by name; targets a tensor, or tuples and dicts of such."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A pair, and how it falls apart into items.

    Attributes:
        batched: whether items lie along the first dim of its tensors; else the pair is one item.
    """

    inputs: Any
    targets: Any
    batched: bool = True

    @property
    def images(self) -> int:
        """How many items there are, images mostly."""
        return items(self.inputs) if self.batched else 1

    def singles(self) -> Iterator[Batch]:
        """One batch for each item.

        Raises:
            UserError: there is not one target an item.
        """
        if self.images == 1:
            yield self
            return
        _one_each(self.targets, self.images)
        for at in range(self.images):
            yield Batch(part(self.inputs, at, at + 1), part(self.targets, at, at + 1))


def read(pairs: Iterable[Pair], batched: bool = True) -> Iterator[Batch]:
    """The batches in which there is something.

    Args:
        batched: as ``Space.batched``.

    Raises:
        UserError: not an iterable of pairs.
        DataError: reading on fails.
    """
    try:
        iterator = iter(pairs)
    except TypeError as error:
        raise UserError(_PAIRS.format(type(pairs).__name__)) from error
    must = "batches must be readable to the end, but the next one fails with"
    while True:
        with in_one_line(DataError, must, "check the data"):
            try:
                pair = next(iterator)
            except StopIteration:
                return
        batch = _batch(pair, batched)
        if not _empty(batch):
            yield batch


def together(batches: Sequence[Batch]) -> list[Any]:
    """The inputs of all batches as one set where they can be joined, else as many as they are."""
    inputs = [batch.inputs for batch in batches]
    if not batches[0].batched or any(map(_whole, inputs)) or not _alike(inputs):
        return inputs
    return [joined(inputs)]


def described(value: Any) -> str:
    """What tensors there are, by their shapes.

    >>> described({"x": torch.zeros(2, 3), "y": [torch.zeros(2)]})
    '{x: (2, 3), y: [(2,)]}'
    """
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {described(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(described, value)) + "]"
    return "None" if value is None else type(value).__name__


_PAIRS = (
    "batches must be a list, a loader or another iterable of (inputs, targets), with a tensor "
    "among the inputs, but got {}; give [(inputs, targets), ...]"
)


def _batch(pair: Any, batched: bool) -> Batch:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise UserError(_PAIRS.format(f"a batch {described(pair)}"))
    if not tensors(pair[0]):
        raise UserError(_PAIRS.format(f"inputs {described(pair[0])}"))
    return Batch(pair[0], pair[1], batched)


def _empty(batch: Batch) -> bool:
    return batch.batched and all(t.dim() and not len(t) for t in tensors(batch.inputs))


def _whole(inputs: Any) -> bool:
    """Whether its tensors do not share their first dim, so that it cannot be told from an item."""
    return len({len(t) if t.dim() else 0 for t in tensors(inputs)}) > 1


def _alike(inputs: Sequence[Any]) -> bool:
    """Whether all are alike but for the number of items, so that they fit in one batch."""
    first, *others = map(_form, inputs)
    return all(form == first for form in others)


def _form(inputs: Any) -> tuple[TreeSpec, list[Any]]:
    leaves, structure = tree_flatten(inputs)
    forms = [(x.shape[1:], x.dtype) if isinstance(x, Tensor) else repr(x) for x in leaves]
    return structure, forms


def _one_each(targets: Any, images: int) -> None:
    for tensor in tensors(targets):
        if tensor.dim() == 0 or len(tensor) != images:
            raise UserError(
                f"targets must have one entry for each of the {images} items of their inputs, but "
                f"got {described(targets)}; give batches whose first dims agree"
            )
