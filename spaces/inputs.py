"""What a network is called with: one tensor, several by position, or several by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from spaces.copies import copied
from spaces.errors import UserError

Inputs = tuple[Any, ...] | dict[str, Any]
"""Positional arguments of a forward, or its keyword arguments."""


def arguments(model: nn.Module, given: Any) -> Inputs:
    """What ``model`` is to be called with, from a tensor, a tuple or list, or a dict.

    A dict is arguments by name; if the forward has no such names and takes one argument, it is that
    argument.

    Raises:
        UserError: something else, or without any tensor in it.
    """
    if isinstance(given, Tensor):
        found: Inputs = (given,)
    elif isinstance(given, Mapping):
        found = dict(given) if _by_name(model, given) else (given,)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        found = tuple(given)
    else:
        raise UserError(
            "example_inputs must be a tensor, a tuple of positional inputs or a dict of inputs by "
            f"name, but got {'None' if given is None else type(given).__name__}; give what the "
            "model is called with"
        )
    if not tensors(found):
        raise UserError(
            "example_inputs must hold at least one tensor, but hold none; give what the model is "
            "called with"
        )
    for tensor in tensors(found):
        if tensor.layout != torch.strided or not tensor.numel():
            raise UserError(
                "example_inputs must be dense tensors with at least one item, but one is "
                f"{'empty' if tensor.layout == torch.strided else tensor.layout}; give an example"
            )
    return found


def call(model: nn.Module, inputs: Any) -> Any:
    """The network's outputs: a tensor is its only argument, a tuple several, a dict by name."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs) if _by_name(model, inputs) else model(inputs)
    return model(*inputs)


def one_item(model: nn.Module, inputs: Inputs) -> tuple[Inputs, bool]:
    """The first item of a batch, and whether the inputs are one: else all of them.

    They are a batch if every tensor has as many items along its first dim, and so has every output,
    and the outputs of the first and of the last item alone are those of the whole. Of a single
    item, or where the outputs cannot tell, a shared first dim is taken for a batch.
    """
    count = items(inputs)
    if count == 1:
        return inputs, _first_sizes(inputs) == {1}
    alone, end = part(inputs, 0, 1), part(inputs, count - 1, count)
    whole, first, last = (_outputs(model, given) for given in (inputs, alone, end))
    batched = bool(first)
    if whole and first and last:
        batched = all(len(x) == count for x in whole if x.dim())
        batched = batched and _alike(first, part(whole, 0, 1))
        batched = batched and _alike(last, part(whole, count - 1, count))
    return (alone, True) if batched else (inputs, False)


def _outputs(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """In eval mode, of a copy; none if the model does not take these inputs."""
    try:
        with torch.no_grad():
            return tensors(call(copied(model).eval(), inputs))
    except Exception:  # the model is anybody's, and so is what it raises
        return []


def _alike(own: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return len(own) == len(wanted) and all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), 1e-2, 1e-3)
        for a, b in zip(own, wanted, strict=True)
        if b.dim()
    )


def tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order; those of a forward's outputs too."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def items(inputs: Any) -> int:
    """How many items lie along the first dim: 1 where tensors do not share one."""
    sizes = _first_sizes(inputs)
    return max(1, *sizes) if len(sizes) == 1 else 1


def _first_sizes(inputs: Any) -> set[int]:
    return {len(tensor) if tensor.dim() else 0 for tensor in tensors(inputs)}


def part(inputs: Any, start: int, stop: int) -> Any:
    """The same with only these items of the first dim of every tensor."""
    return tree_map_only(Tensor, lambda x: x[start:stop] if x.dim() else x, inputs)


def joined(several: Sequence[Any]) -> Any:
    """One set of inputs with the items of all; what is no tensor is taken from the first."""
    if len(several) == 1:
        return several[0]

    def join(*values: Any) -> Any:
        first = values[0]
        return torch.cat(values) if isinstance(first, Tensor) and first.dim() else first

    return tree_map(join, *several)


def repeated(inputs: Any) -> Any:
    """The same with every item twice."""
    return tree_map_only(Tensor, lambda x: torch.cat([x, x]) if x.dim() else x, inputs)


def moved(inputs: Any, device: torch.device) -> Any:
    """The same on another device."""
    return tree_map_only(Tensor, lambda x: x.to(device), inputs)


def _by_name(model: nn.Module, given: Mapping[Any, Any]) -> bool:
    """Whether a forward takes the dict's keys as names of its arguments."""
    if not all(isinstance(key, str) for key in given):
        return False
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return True
    return set(given) <= {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}
