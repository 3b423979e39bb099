"""Batches of calibration data: pairs of inputs and targets, and their items."""

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
    """A pair, and whether it consists of items.

    Attributes:
        batched: whether items lie along the first dim of its tensors; else the pair is one item.
        images: the number of items, mostly images.
    """

    inputs: Any
    targets: Any
    batched: bool = True

    @property
    def images(self) -> int:
        return items(self.inputs) if self.batched else 1

    def singles(self) -> Iterator[Batch]:
        """One batch per item; UserError if there is not one target per item."""
        if self.images == 1:
            yield self
            return
        _check_targets(self.targets, self.images)
        for i in range(self.images):
            yield Batch(part(self.inputs, i, i + 1), part(self.targets, i, i + 1))


def read(pairs: Iterable[Pair], batched: bool = True) -> Iterator[Batch]:
    """The batches that are not empty.

    Args:
        batched: as ``Space.batched``.

    Raises:
        UserError: not an iterable of pairs.
        DataError: the iterable fails.
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
        if not batched or any(not t.dim() or len(t) for t in tensors(batch.inputs)):
            yield batch


def concatenated(batches: Sequence[Batch]) -> list[Any]:
    """The inputs of all batches as one, if they can be concatenated; else those of each batch."""
    inputs = [batch.inputs for batch in batches]
    if not batches[0].batched or any(map(_has_mixed_lengths, inputs)) or not _same_form(inputs):
        return inputs
    return [joined(inputs)]


def described(value: Any) -> str:
    """The structure of nested tensors, by their shapes.

    >>> described({"x": torch.zeros(2, 3), "y": [torch.zeros(2)]})
    '{x: (2, 3), y: [(2,)]}'
    """
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {described(item)}" for key, item in value.items()) + "}"
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


def _has_mixed_lengths(inputs: Any) -> bool:
    """Whether the tensors' first dims differ, so that items cannot be told apart."""
    return len({len(t) if t.dim() else 0 for t in tensors(inputs)}) > 1


def _same_form(inputs: Sequence[Any]) -> bool:
    """Whether all inputs have the same structure, shapes of items and dtypes."""
    first, *rest = map(_form, inputs)
    return all(form == first for form in rest)


def _form(inputs: Any) -> tuple[TreeSpec, list[Any]]:
    leaves, structure = tree_flatten(inputs)
    forms = [(x.shape[1:], x.dtype) if isinstance(x, Tensor) else repr(x) for x in leaves]
    return structure, forms


def _check_targets(targets: Any, images: int) -> None:
    for tensor in tensors(targets):
        if tensor.dim() == 0 or len(tensor) != images:
            raise UserError(
                f"targets must have one entry for each of the {images} items of their inputs, but "
                f"got {described(targets)}; give batches whose first dims agree"
            )
