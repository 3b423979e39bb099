"""What a network holds beside its code: its ``state_dict``, and tensors that this leaves out."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from operator import gt
from typing import Any

import torch
from torch import Tensor, nn

from spaces.errors import DataError, ModelError, in_one_line
from spaces.inputs import moved, tensors
from spaces.slicing import follow

EXTRA = "_extra_state"
"""The last part of a state_dict's key for what ``Module.get_extra_state`` gives: anything."""


def is_extra(key: str) -> bool:
    """Whether a key of a ``state_dict``, ``encoder._extra_state`` say, stands for extra state."""
    return key.rpartition(".")[2] == EXTRA


def is_plain(value: Any) -> bool:
    """Whether a file can hold it without code: tensors and plain values in lists and dicts."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # whatever pickling an object of the user's raises
        return False
    return True


def plain_state(model: nn.Module) -> dict[str, Any]:
    """The ``state_dict``, of which it is certain that it can be saved and read again.

    Raises:
        DataError: the extra state of a module is not of tensors and plain values.
        ModelError: the model's own code fails to give it.
    """
    must, hint = "a model's state_dict() must work", "mend it, or the network cannot be saved"
    with in_one_line(ModelError, f"{must}, but it fails with", hint):
        state = dict(model.state_dict())
    for key, value in state.items():
        if not isinstance(value, Tensor) and not is_plain(value):
            where = key.removesuffix(EXTRA).rstrip(".") or type(model).__name__
            what = f"get_extra_state of {where}" if is_extra(key) else f"{key!r} in its state_dict"
            raise DataError(
                f"a model's extra state must be tensors and plain values, but {what} is a "
                f"{type(value).__name__} with something else in it; give numbers, strings, lists, "
                "dicts and tensors"
            )
    return state


def unsaved(model: nn.Module, saved: Mapping[str, Any]) -> dict[str, Tensor | None]:
    """The tensors by name that a ``state_dict`` has not, and the buffers that are None."""
    left_out = {name: t for name, t in all_tensors(model).items() if name not in saved}
    return {**left_out, **dict.fromkeys(empty(model))}


def state_of(model: nn.Module) -> dict[str, Any]:
    """The ``state_dict`` and, under their own names, the tensors that it leaves out."""
    saved = dict(model.state_dict())
    return saved | {name: t for name, t in unsaved(model, saved).items() if t is not None}


def set_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Put what ``state_of`` gave, or a plain ``state_dict``, into a model of the same shapes.

    Parameters stay the same objects, so that an optimizer goes on with them. Extra state that the
    model has no ``set_extra_state`` for is left out.
    """
    _fill(model, state)
    saved = model.state_dict()
    named = all_tensors(model)
    with torch.no_grad():
        for name in (named.keys() & state.keys()) - saved.keys():
            if takes(named[name], state[name]):
                named[name].copy_(state[name])
            else:
                become(named[name], state[name])
    given = OrderedDict(
        (name, _beside(saved.get(name), value) if is_extra(name) else value)
        for name, value in state.items()
        if value is not None
    )
    # Without it, modules that have changed their format take the state for one of the oldest.
    given._metadata = getattr(saved, "_metadata", None)  # type: ignore[attr-defined]
    model.load_state_dict(given, strict=False)  # what it does not know is in place by now


def fit_to_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give every parameter and buffer of ``model`` shape, dtype and values of ``state``, in place.

    >>> fit_to_state(fresh_model, torch.load("weights.pt", weights_only=True))  # doctest: +SKIP

    Args:
        state: a ``state_dict``; it may also hold, under their own names, tensors that a state_dict
            leaves out (None for a buffer that is None). Of these, what it has not stays as it is.

    Raises:
        ModelError: the names differ, or a tensor has another number of dims or is larger.
    """
    saved = model.state_dict()
    _check_names(model, saved, state)
    _check_sizes(saved, state)
    changed = {
        name: old
        for name, old in all_tensors(model).items()
        if isinstance(state.get(name), Tensor) and not takes(old, state[name])
    }
    for name, old in changed.items():
        become(old, state[name])
    follow(model, changed.values())
    try:
        set_state(model, state)
    except Exception as error:  # set_extra_state and hooks are the user's own
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"the state must be one that the model's load_state_dict takes, but it fails with "
            f"{type(error).__name__}: {said}; build the model that was pruned"
        ) from error


def _check_names(model: nn.Module, saved: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    known = saved.keys() | all_tensors(model).keys() | set(empty(model))
    strange = sorted((saved.keys() - state.keys()) | (state.keys() - known))
    if strange:
        raise ModelError(
            f"the state must have the model's names, but {len(strange)} differ: "
            f"{', '.join(strange[:3])}; build the model that was pruned"
        )


def _check_sizes(saved: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    larger = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own.shape)}"
        for name, own in saved.items()
        if isinstance(own, Tensor)
        and isinstance(tensor := state.get(name), Tensor)
        and not is_extra(name)
        and (len(tensor.shape) != len(own.shape) or any(map(gt, tensor.shape, own.shape)))
    ]
    if larger:
        raise ModelError(
            f"the state must be at most as large as the model, but {len(larger)} tensors are not: "
            f"{'; '.join(larger[:3])}; build the model that was pruned"
        )


def buffers(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Each buffer's whole name, its module, and its name there; also those that are None."""
    for path, module in model.named_modules(remove_duplicate=False):
        for name in module._buffers:
            yield f"{path}.{name}" if path else name, module, name


def empty(model: nn.Module) -> list[str]:
    """Names of buffers that are None: to be filled by a forward, or never."""
    return [whole for whole, module, name in buffers(model) if module._buffers[name] is None]


def all_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, shared ones under each of their names."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return parameters | dict(model.named_buffers(remove_duplicate=False))


def _fill(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Put tensors where buffers are None, and None where the state says so."""
    device = next((tensor.device for tensor in all_tensors(model).values()), torch.device("cpu"))
    for whole, module, name in buffers(model):
        if whole in state and (module._buffers[name] is None or state[whole] is None):
            value = state[whole]
            module._buffers[name] = None if value is None else value.to(device, copy=True)


def _beside(own: Any, value: Any) -> Any:
    """Extra state on the device of the model's own, if there are tensors in that."""
    device = next((tensor.device for tensor in tensors(own)), None)
    return value if device is None else moved(value, device)


def takes(old: Tensor, value: Tensor) -> bool:
    """Whether values can be copied in: same shape and dtype, no element standing for several."""
    alike = (old.shape, old.dtype) == (value.shape, value.dtype)
    return alike and (old.layout != torch.strided or old.numel() < 2 or 0 not in old.stride())


def become(old: Tensor, value: Tensor) -> None:
    """Give a tensor the shape, dtype and values of another, on its own device."""
    # The tensor stays the same object: lists of weights (an LSTM has one) go on holding it.
    old.data = value.detach().to(old.device, copy=True)
    old.grad = None
