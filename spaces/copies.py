"""Copies of the user's network: independent of it, so that nothing done to a copy is seen in it."""

from __future__ import annotations

import copy
import dis
import re
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from spaces.errors import ModelError, brief

_HOOKS = re.compile("_.*_hooks")
"""torch's tables of hooks: ``_forward_hooks``, say."""

_TABLES = [name for name, x in vars(nn.Module()).items() if isinstance(x, (OrderedDict, set))]
"""All tables that every module has: of hooks, and of what belongs to them."""

CALLABLES = (types.FunctionType, types.MethodType, partial)
"""What ``copy.deepcopy`` leaves as it is, with whatever it closes over."""

ATOMS = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)
"""What a copy shares."""

_EXACT_ATOMS = frozenset(ATOMS)


def copied(
    model: nn.Module, instead: Mapping[int, Tensor] | None = None, apart: bool = True
) -> nn.Module:
    """A deep copy that takes, for the tensors whose ids are given, those of ``instead``.

    Beyond ``copy.deepcopy``, outputs that a module keeps from its last forward are copied, by their
    values, though they belong to an autograd graph; and hooks, functions as they are, do not write
    into the modules of ``model``, but into the copies of those that they close over.

    Args:
        apart: whether hooks get copies of everything they write to, the user's lists and dicts too,
            for a copy that is run behind the user's back; else of modules only, for a network that
            the user is given.

    Raises:
        ModelError: a module holds what cannot be copied, a lock say.
    """
    memo: dict[int, Any] = dict(instead or {})
    memo = {id(tensor): tensor.detach().clone() for tensor in _outputs_kept(model)} | memo
    memo |= {id(value): type(value)() for value in _empty_tables(model)}
    try:
        result: nn.Module = copy.deepcopy(model, memo)
    except Exception as error:  # whatever the user's classes raise
        where, what = _uncopyable(model, memo)
        raise ModelError(
            f"a model must be copyable by copy.deepcopy, but {what} of {where} is not "
            f"({brief(error)}); keep it outside the model, or give its class a __deepcopy__"
        ) from error
    for module in result.modules():
        held = [(name, x) for name, x in vars(module).items() if isinstance(x, dict) and x]
        for table in (vars(module), *(x for name, x in held if _HOOKS.fullmatch(name))):
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


def _empty_tables(model: nn.Module) -> Iterator[Any]:
    """Tables of torch's that are empty, as most are: for ``copy.deepcopy`` most of the work."""
    for module in model.modules():
        for name in _TABLES:
            value = vars(module).get(name)
            if type(value) in (OrderedDict, set) and not value:
                yield value


def _outputs_kept(root: Any) -> Iterator[Tensor]:
    """The tensors of some autograd graph that are held anywhere below."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if type(value) in _EXACT_ATOMS or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            waiting += value
        elif isinstance(value, Tensor):
            if not value.is_leaf:
                yield value
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
    if id(value) in memo:
        return memo[id(value)]
    new = memo[id(value)] = value  # one that closes over itself
    if isinstance(value, types.FunctionType):
        if (value.__module__ or "").partition(".")[0] != "torch":
            new = _function(value, memo, apart)
    elif isinstance(value, types.MethodType):
        owner = _other(value.__self__, memo, apart)
        if owner is not value.__self__:
            new = types.MethodType(value.__func__, owner)
    else:
        args = [_other(each, memo, apart) for each in value.args]
        named = {name: _other(each, memo, apart) for name, each in value.keywords.items()}
        new = partial(_other(value.func, memo, apart), *args, **named)
    memo[id(value)] = new
    return new


def _function(hook: types.FunctionType, memo: dict[int, Any], apart: bool) -> Callable[..., Any]:
    code, scope = hook.__code__, hook.__globals__
    closure, defaults = hook.__closure__ or (), hook.__defaults__ or ()
    cells = tuple(_cell(cell, memo, apart) for cell in closure)
    given = tuple(_other(each, memo, apart) for each in defaults)
    read = [name for name in code.co_names if name in scope]
    own = {name: _other(scope[name], memo, apart) for name in read}
    old, new = (*closure, *defaults, *map(scope.get, own)), (*cells, *given, *own.values())
    if all(a is b for a, b in zip(old, new, strict=True)) and not (apart and _assigns(code)):
        return hook
    made = types.FunctionType(code, scope | own, hook.__name__, given or None, cells or None)
    made.__kwdefaults__ = hook.__kwdefaults__
    made.__dict__.update(hook.__dict__)
    return made


@lru_cache
def _assigns(code: types.CodeType) -> bool:
    """Whether it has a ``global`` that it assigns."""
    return any(step.opname == "STORE_GLOBAL" for step in dis.get_instructions(code))


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
    if isinstance(value, dict | list | set | deque) or hasattr(value, "__dict__"):
        memo |= {id(tensor): tensor.detach().clone() for tensor in _outputs_kept(value)}
        try:
            return copy.deepcopy(value, memo)
        except Exception:  # a file, a lock, a writer of logs: it stays the user's own
            return value
    return value
