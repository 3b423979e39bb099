"""Parts: submodules that are pruned inside a network that ``torch.export`` cannot trace.

A detector's post-processing asks what the numbers are, and so has no graph; its backbone and its
heads have one. Groups are looked for inside these parts only. What enters or leaves a part stays as
it is, and so does every parameter that is used elsewhere, too; so the rest of the network goes on
as before. Parameters keep the names that they have in the whole, which is what is cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from spaces.copies import copied
from spaces.errors import ModelError, UserError, in_one_line, quiet, unknown
from spaces.export import exported
from spaces.inputs import Inputs, call

LEAST_SHARE = 0.01
"""Of the network's parameters so many are in a part that is found: each takes seconds to try."""

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


@dataclass(frozen=True)
class Parts:
    """Submodules of a network, and what one forward pass calls them with.

    Attributes:
        names: of the submodules, in the order in which they are called.
        model: a copy of the whole network whose forward is that of its parts.
        inputs: what that takes: a `Call` for each part.
        outside: names of the parameters and buffers that the rest of the network uses.
    """

    names: tuple[str, ...]
    model: nn.Module
    inputs: Inputs
    outside: frozenset[str]


def find_parts(model: nn.Module, names: Sequence[str], inputs: Inputs) -> Parts:
    """The parts of those names, as a forward pass in eval mode calls them.

    Raises:
        UserError: there is no such submodule, or one is inside another.
        ModelError: the network does not run, or a part is not called exactly once.
    """
    known = [name for name, _ in model.named_modules() if name]
    for name in names:
        if name not in known:
            raise unknown("module", name, known)
        if outer := next((other for other in names if name.startswith(f"{other}.")), None):
            raise UserError(f"parts must lie apart, but {name} is inside {outer}; leave one out")
    own = copied(model).eval()
    calls, outside = _recorded(own, names, inputs)
    for name in names:
        if len(calls[name]) != 1:
            raise ModelError(
                f"a part must be called once in a forward pass, but {name} is called "
                f"{len(calls[name])} times; give another part"
            )
    ordered = tuple(name for name in calls if name in names)
    own.forward = MethodType(_forward(ordered), own)
    return Parts(ordered, own, tuple(calls[name][0] for name in ordered), outside)


def largest_parts(model: nn.Module, inputs: Inputs) -> Parts | None:
    """The largest submodules that ``torch.export`` can trace; None if there is none.

    Layers are none, as nothing in them could be cut, nor is what is called several times.
    """
    own = copied(model).eval()
    try:
        calls, _ = _recorded(own, [name for name, _ in own.named_modules() if name], inputs)
    except ModelError:
        return None
    names = list(_traceable(own, "", calls, LEAST_SHARE * _size(own)))
    return find_parts(model, names, inputs) if names else None


def _traceable(
    module: nn.Module, path: str, calls: Mapping[str, list[Call]], least: float
) -> Iterator[str]:
    for child_name, child in module.named_children():
        name = f"{path}.{child_name}" if path else child_name
        if _size(child) < least or not any(child.children()):
            continue
        called = calls[name]
        if len(called) == 1 and _can_be_traced(child, *called[0]):
            yield name
        else:
            yield from _traceable(child, name, calls, least)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _can_be_traced(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        with torch.no_grad():
            exported(_Called(module), (args, kwargs))
    except ModelError:
        return False
    return True


class _Called(nn.Module):
    """A module that takes a `Call`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.module(*args, **kwargs)


def _forward(names: Sequence[str]) -> Any:
    def forward(self: nn.Module, *calls: Call) -> list[Any]:
        called = zip(names, calls, strict=True)
        return [self.get_submodule(name)(*args, **kwargs) for name, (args, kwargs) in called]

    return forward


def _recorded(
    model: nn.Module, names: Collection[str], inputs: Inputs
) -> tuple[dict[str, list[Call]], frozenset[str]]:
    """Submodule → how it is called, in the order of the first calls; and the tensors by name that
    are used while none of them is running."""
    recorder = _Recorder(model)
    handles = [handle for name in names for handle in recorder.follow(name)]
    must = "the model must run on one example input, but it fails with"
    try:
        with in_one_line(ModelError, must), torch.no_grad(), quiet("torch"), recorder:
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    never = {name: list[Call]() for name in names if name not in recorder.calls}
    return recorder.calls | never, frozenset(recorder.outside)


class _Recorder(TorchFunctionMode):
    """Sees the calls of some submodules, and the tensors of the model that are used elsewhere."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.calls: dict[str, list[Call]] = {}
        self.outside: set[str] = set()
        self._model, self._running = model, 0
        named = (*model.named_parameters(), *model.named_buffers())
        self._names = {id(tensor): name for name, tensor in named}

    def follow(self, name: str) -> tuple[Any, Any]:
        """The hooks that record the calls of a submodule."""

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._running += 1
            self.calls.setdefault(name, []).append(tree_map_only(Tensor, _own, (args, kwargs)))

        def leave(*_: Any) -> None:
            self._running -= 1

        module = self._model.get_submodule(name)
        return (
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, always_call=True),
        )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As ever; what gives no tensor, a shape say, uses none."""
        result = func(*args, **(kwargs or {}))
        if not self._running and any(isinstance(x, Tensor) for x in tree_leaves(result)):
            used = {id(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
            self.outside |= {self._names[each] for each in used & self._names.keys()}
        return result


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()
