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
    """A pair. Its items lie along the first dim of its tensors; not ``batched``, it is one item."""

    inputs: Any
    targets: Any
    batched: bool = True

    @property
    def images(self) -> int:
        """The number of items, mostly images."""
        return items(self.inputs) if self.batched else 1

    def singles(self) -> Iterator[Batch]:
        """One batch per item; UserError if there is not one target per item."""
        if self.images == 1:
            yield self
            return
        for tensor in tensors(self.targets):
            if tensor.dim() == 0 or len(tensor) != self.images:
                raise UserError(
                    f"targets must have one entry for each of the {self.images} items of their "
                    f"inputs, but got {described(self.targets)}; give batches whose first dims "
                    "agree"
                )
        for i in range(self.images):
            yield Batch(part(self.inputs, i, i + 1), part(self.targets, i, i + 1))


def read(pairs: Iterable[Pair], batched: bool = True) -> Iterator[Batch]:
    """The batches that are not empty; ``batched`` as in a ``Space``.

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
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise UserError(_PAIRS.format(f"a batch {described(pair)}"))
        inputs, targets = pair
        if not tensors(inputs):
            raise UserError(_PAIRS.format(f"inputs {described(inputs)}"))
        if not batched or any(not t.dim() or len(t) for t in tensors(inputs)):
            yield Batch(inputs, targets, batched)


def concatenated(batches: Sequence[Batch]) -> list[Any]:
    """The inputs of all batches as one, if they can be concatenated; else those of each batch."""
    inputs = [batch.inputs for batch in batches]
    forms = [form(each) for each in inputs]
    is_one_form = all(form == forms[0] for form in forms)
    lengths = [{len(t) if t.dim() else 0 for t in tensors(each)} for each in inputs]
    if batches[0].batched and is_one_form and all(len(of_one) == 1 for of_one in lengths):
        return [joined(inputs)]
    return inputs


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


def form(inputs: Any) -> tuple[TreeSpec, list[Any]]:
    """The structure, and the shapes of items and the dtypes."""
    leaves, structure = tree_flatten(inputs)
    forms = [(x.shape[1:], x.dtype) if isinstance(x, Tensor) else repr(x) for x in leaves]
    return structure, forms
