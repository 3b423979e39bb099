"""An unpruned network takes the shapes and values of a pruned one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from spaces.errors import ModelError
from spaces.slicing import follow
from spaces.state import all_tensors, become, empty, is_extra, set_state, takes


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
    tensors = all_tensors(model)
    changed = [
        name
        for name, old in tensors.items()
        if isinstance(state.get(name), Tensor) and not takes(old, state[name])
    ]
    for name in changed:
        become(tensors[name], state[name])
    follow(model, [tensors[name] for name in changed])
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
    emptied = {name for name, value in state.items() if value is None}
    strange = sorted((saved.keys() - state.keys() - emptied) | (state.keys() - known))
    if strange:
        raise ModelError(
            f"the state must have the model's names, but {len(strange)} differ: "
            f"{', '.join(strange[:3])}; build the model that was pruned"
        )


def _check_sizes(saved: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    pairs = {
        name: (state[name], own)
        for name, own in saved.items()
        if isinstance(own, Tensor) and isinstance(state.get(name), Tensor) and not is_extra(name)
    }
    larger = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own.shape)}"
        for name, (tensor, own) in pairs.items()
        if tensor.dim() != own.dim()
        or any(a > b for a, b in zip(tensor.shape, own.shape, strict=True))
    ]
    if larger:
        raise ModelError(
            f"the state must be at most as large as the model, but {len(larger)} tensors are not: "
            f"{'; '.join(larger[:3])}; build the model that was pruned"
        )
