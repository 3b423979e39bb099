"""Copies of the user's network: independent of it, so that nothing done to a copy is seen in it."""

from __future__ import annotations

import copy
import dis
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spaces.errors import ModelError, brief

HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
"""Where a module keeps its hooks, each by a number."""

CONTAINERS = (dict, list, set, deque)
"""What hooks that are plain functions keep things in."""

CALLABLES = (types.FunctionType, types.MethodType, partial)
"""What ``copy.deepcopy`` leaves as it is, with whatever it closes over."""

ATOMS = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)
"""What a copy shares."""


def copied(
    model: nn.Module, instead: Mapping[int, Tensor] | None = None, apart: bool = True
) -> nn.Module:
    """A deep copy that takes, for the tensors whose ids are given, those of ``instead``.

    Outputs that a module keeps from its last forward (a hook's, say) belong to an autograd graph
    and refuse to be copied; the copy gets their values.

    ``copy.deepcopy`` leaves functions as they are, and so a copy's hooks would write into the
    modules of ``model``. Here they are given the copies of whatever modules they close over.

    Args:
        apart: whether the hooks get copies of everything they write to, the user's own lists and
            dicts too: for a copy that is run behind the user's back. Else only modules are
            exchanged, for a network that the user is given.

    Raises:
        ModelError: a module holds what cannot be copied, a lock say.
    """
    memo: dict[int, Any] = dict(instead or {})
    memo = {id(tensor): tensor.detach().clone() for tensor in _outputs_kept(model)} | memo
    try:
        result: nn.Module = copy.deepcopy(model, memo)
    except Exception as error:  # whatever the user's classes raise
        where, what = _uncopyable(model, memo)
        raise ModelError(
            f"a model must be copyable by copy.deepcopy, but {what} of {where} is not "
            f"({brief(error)}); keep it outside the model, or give its class a __deepcopy__"
        ) from error
    for module in result.modules():
        for table in (vars(module), *(vars(module).get(name) or {} for name in HOOKS)):
            for key, value in list(table.items()):
                if isinstance(value, CALLABLES):  # a hook, or a forward put in place of the class's
                    table[key] = _rebound(value, memo, apart)
    return result


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Buffers are afterwards what they were: a copy whose code reaches the original by a global or
    a closure runs layers of the original, and BatchNorm counts."""
    before = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            if not torch.equal(buffer, value):
                buffer.data.copy_(value)


def _outputs_kept(root: Any) -> Iterator[Tensor]:
    """The tensors of some autograd graph that are held anywhere below."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, ATOMS):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if not value.is_leaf:
                yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            waiting += value
        elif isinstance(value, types.MethodType):
            waiting.append(value.__self__)
        elif not isinstance(value, types.ModuleType | type | types.FunctionType):
            waiting.append(getattr(value, "__dict__", None))


def _uncopyable(model: nn.Module, memo: dict[int, Any]) -> tuple[str, str]:
    """The module, and the attribute of it, that cannot be copied."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                continue
            try:
                copy.deepcopy(value, dict(memo))
            except Exception:  # as above
                return name or "the model", f"attribute {attribute!r}"
    return "the model", "a part"


def _rebound(value: Any, memo: dict[int, Any], apart: bool) -> Any:
    """A function, method or partial over the copies of what it closes over."""
    if id(value) not in memo:
        memo[id(value)] = value  # one that closes over itself
        memo[id(value)] = _bound_anew(value, memo, apart)
    return memo[id(value)]


def _bound_anew(value: Any, memo: dict[int, Any], apart: bool) -> Any:
    if isinstance(value, types.FunctionType):
        torchs = (value.__module__ or "").partition(".")[0] == "torch"
        return value if torchs else _function(value, memo, apart)
    if isinstance(value, types.MethodType):
        owner = _other(value.__self__, memo, apart)
        return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
    args = [_other(each, memo, apart) for each in value.args]
    named = {name: _other(each, memo, apart) for name, each in value.keywords.items()}
    return partial(_other(value.func, memo, apart), *args, **named)


def _function(hook: types.FunctionType, memo: dict[int, Any], apart: bool) -> Callable[..., Any]:
    cells = tuple(_cell(cell, memo, apart) for cell in hook.__closure__ or ())
    given = tuple(_other(each, memo, apart) for each in hook.__defaults__ or ())
    read = {name: hook.__globals__[name] for name in _globals(hook)}
    own = {name: _other(value, memo, apart) for name, value in read.items()}
    pairs = [
        *zip(hook.__closure__ or (), cells, strict=True),
        *zip(own.values(), read.values(), strict=True),
    ]
    pairs += zip(hook.__defaults__ or (), given, strict=True)
    if all(new is old for old, new in pairs) and not (apart and _assigns(hook)):
        return hook
    scope = {**hook.__globals__, **own}
    made = types.FunctionType(hook.__code__, scope, hook.__name__, given or None, cells or None)
    made.__kwdefaults__ = hook.__kwdefaults__
    made.__dict__.update(hook.__dict__)
    return made


def _globals(hook: types.FunctionType) -> list[str]:
    return [name for name in hook.__code__.co_names if name in hook.__globals__]


def _assigns(hook: types.FunctionType) -> bool:
    """Whether it has a ``global`` that it assigns to."""
    return any(step.opname == "STORE_GLOBAL" for step in dis.get_instructions(hook))


def _cell(cell: types.CellType, memo: dict[int, Any], apart: bool) -> types.CellType:
    try:
        value = cell.cell_contents
    except ValueError:  # not assigned yet
        return cell
    new = _other(value, memo, apart)
    return cell if new is value else types.CellType(new)


def _other(value: Any, memo: dict[int, Any], apart: bool) -> Any:
    """The copy of a module, or, apart, of what can be written to; else the value itself."""
    if id(value) in memo and not isinstance(value, ATOMS):
        return memo[id(value)]
    if isinstance(value, CALLABLES):
        return _rebound(value, memo, apart)
    if not apart or isinstance(value, nn.Module | types.ModuleType | type):
        return value
    if isinstance(value, CONTAINERS) or hasattr(value, "__dict__"):
        memo |= {id(tensor): tensor.detach().clone() for tensor in _outputs_kept(value)}
        try:
            return copy.deepcopy(value, memo)
        except Exception:  # a file, a lock, a writer of logs: it stays the user's own
            return value
    return value
