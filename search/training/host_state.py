"""What code on the host may change with every step, and a replayed step cannot."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

PLAIN = (bool, int, float, complex, str, bytes, type(None))

State = Mapping[str, Any]
"""Name of a place → what stands there: a tensor with its address, or a plain value."""


def host_state(runs: Iterable[object]) -> State:
    """Plain values and tensors that modules, objects and functions hold, by where they are.

    Of a tensor it is told which one it is, not what is in it: what is written into it in place, a
    replayed step writes too.
    """
    return {name: held for thing in runs for name, held in _held(thing)}


def changed(before: State, after: State) -> str:
    """The first place where something else stands; empty if there is none."""
    for name in (*before, *(name for name in after if name not in before)):
        old, new = before.get(name), after.get(name)
        if name not in before or name not in after or not _same(old, new):
            return f"{name} changes with every step"
    return ""


def host_draws() -> tuple[Any, ...]:
    """The states of the host's random generators; equal as long as nothing is drawn."""
    kind, keys, *rest = np.random.get_state()
    own = torch.get_rng_state().numpy().tobytes()
    return own, random.getstate(), kind, np.asarray(keys).tobytes(), *rest


def _held(thing: object) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, nn.Module):
        for path, module in thing.named_modules():
            yield from _leaves(path or type(module).__name__, vars(module))
    elif isinstance(thing, MethodType):
        yield from _held(thing.__self__)
    elif isinstance(thing, FunctionType):
        yield from _leaves(thing.__name__, _enclosed(thing))
    elif hasattr(thing, "__dict__"):
        yield from _leaves(type(thing).__name__, vars(thing))


def _enclosed(function: FunctionType) -> dict[str, Any]:
    """The variables of the functions around it."""
    names, cells = function.__code__.co_freevars, function.__closure__ or ()
    found = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _leaves(path: str, attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in attributes.items():
        own = value.items() if name in ("_parameters", "_buffers") else [(name, value)]
        for key, held in own:
            leaves = tree_leaves(held)
            for place, leaf in enumerate(leaves):
                where = f"{path}.{key}[{place}]" if len(leaves) > 1 else f"{path}.{key}"
                if isinstance(leaf, Tensor):
                    yield where, (leaf, leaf.data_ptr())
                elif isinstance(leaf, PLAIN):
                    yield where, leaf


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, tuple) and isinstance(new, tuple):  # tensors
        return old[0] is new[0] and old[1] == new[1]
    return type(old) is type(new) and (old == new or (old != old and new != new))
