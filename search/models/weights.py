"""Weights from a file: a plain ``state_dict``, read without running any code in it."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spaces.errors import DataError, blamed
from spaces.state import empty, is_extra, set_state, state_of

STATE_DICT = "a state_dict (tensors by name)"
WRAPPERS = ("state_dict", "model_state_dict", "model")
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
"""torchvision's extra heads of GoogLeNet and Inception, in its files but not in our models."""


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Put the weights of a file into ``model``, in place.

    The file holds a ``state_dict`` as ``torch.save(model.state_dict(), path)`` leaves it, bare
    or under ``"state_dict"``, ``"model_state_dict"`` or ``"model"``; a ``module.`` before every
    key (DataParallel) is dropped. Nothing pickled is run (``weights_only=True``).

    Raises:
        DataError: no such file, not a torch file, pickled code, keys or shapes that do not fit, or
            extra state that the model refuses.
    """
    state = read_state_dict(path)
    wanted, known = model.state_dict(), {*state_of(model), *empty(model)}
    heads = {key for key in state if key.startswith(AUXILIARY_HEADS)} - wanted.keys()
    state = {key: value for key, value in state.items() if key not in heads}
    misfits = _misfits(state, wanted, known)
    if misfits:
        shown = "; ".join(misfits[:3])
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise DataError(
            f"weights must fit the model, but {path} does not: {shown}{more}; "
            "give the weights of this model, trained for as many classes as the data has (or as "
            "--classes says)"
        )
    try:
        set_state(model, state)  # misfits lets old BatchNorms lack their counter
    except Exception as error:  # set_extra_state and hooks are the user's own
        raise DataError(
            f"weights must be such as the model's load_state_dict takes, but with {path} it fails "
            f"with {blamed(error)}; give the weights of this model"
        ) from error


def read_state_dict(path: str | Path) -> dict[str, Any]:
    """The ``state_dict`` in a file, wrappers and ``module.`` prefixes taken off.

    Its values are tensors, but for extra state, which may be anything plain.

    Raises:
        DataError: no such file, not a torch file, pickled code, no tensors by name in it.
    """
    content = _read(Path(path))
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise _unfit(STATE_DICT, f"{path} holds a {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not (isinstance(value, Tensor) or is_extra(key)):
            raise _unfit(STATE_DICT, f"{path} holds {key!r}: {type(value).__name__}")
    if all(key.startswith("module.") for key in content):
        return {key.removeprefix("module."): value for key, value in content.items()}
    return dict(content)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"weights must be a file, but there is none at {path}; check the path")
    try:
        with warnings.catch_warnings():  # of pickle protocols and TorchScript; we say it better
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"weights must be readable, but {path} is not ({error.strerror})") from None
    except Exception as error:  # torch.load raises whatever its parsers meet in other bytes
        refused = isinstance(error, pickle.UnpicklingError)
        if refused and (code := re.search(r"GLOBAL ([\w.]+)", str(error))):
            what = f"{path} holds pickled code ({code[1]}), which is refused"
            raise _unfit("plain tensors", what) from None
        raise _unfit("a file of torch.save", f"{path} is not one or is damaged") from None


def _unfit(must: str, but: str) -> DataError:
    how = "save them with torch.save(model.state_dict(), path)"
    return DataError(f"weights must be {must}, but {but}; {how}")


def _misfits(
    state: Mapping[str, Any], wanted: Mapping[str, Any], known: Collection[str]
) -> list[str]:
    """What does not fit, in words: wrong shapes first, then missing and unexpected keys.

    Args:
        known: also the tensors that a state_dict leaves out.
    """
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file and {tuple(value.shape)} in the model"
        for key, value in wanted.items()
        if isinstance(value, Tensor)
        and isinstance(state.get(key), Tensor)
        and not is_extra(key)
        and state[key].shape != value.shape
    ]
    missing = [
        f"{key} is missing"
        for key in wanted
        if key not in state and not key.endswith(".num_batches_tracked")
    ]
    return shapes + missing + [f"{key} is not in the model" for key in state if key not in known]
