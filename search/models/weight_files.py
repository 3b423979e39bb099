"""A ``state_dict`` in a file, as people have them: bare, in a checkpoint, or as safetensors.

No code of the file is ever run (``weights_only=True``): what else a checkpoint holds, the arguments
of its training say, is read as a name without a content.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from spaces.errors import DataError
from spaces.state import is_extra

STATE_DICT = "a state_dict (tensors by name)"
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema")
"""Where checkpoints have the moving average of the weights, which is what is evaluated: those of
timm, of torchvision's references and of others."""
PLAIN = ("state_dict", "model_state_dict", "model", "net", "module", "params", "weights")
"""Where they have the weights; the first one counts."""


@dataclass(frozen=True)
class WeightFile:
    """What was found in a file.

    Attributes:
        state: a ``state_dict``, whose values are tensors but for extra state.
        place: the keys that lead to it; empty where the file holds nothing else.
        others: further places at which there is one.
    """

    state: dict[str, Any]
    place: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def read_state_dict(path: str | Path) -> WeightFile:
    """The ``state_dict`` in a file of ``torch.save``, or of safetensors (``*.safetensors``).

    It may be under a key: the moving average first (`AVERAGED`), then `PLAIN`, or any other key if
    there is one alone.

    Raises:
        DataError: no such file, another file, pickled code in the place of tensors, no tensors by
            name in it, or several such under keys of which none is known.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"weights must be a file, or a folder that prune_ops.save wrote, but there is none at "
            f"{path}; check the path"
        )
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if isinstance(content, _Unread):
        raise _pickled(path, content.path)
    if not isinstance(content, Mapping) or not content:
        raise _unfit(STATE_DICT, f"{path} holds a {type(content).__name__}")
    found = dict(_state_dicts(content))
    if not found:
        raise _no_state_dict(content, path)
    place = _chosen(list(found), path)
    others = tuple(".".join(other) for other in found if other != place)
    return WeightFile(dict(found[place]), place, others)


def _state_dicts(
    content: Any, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Everything of tensors by name, with the keys that lead there; not what is inside of one."""
    if not isinstance(content, Mapping) or isinstance(content, _Unread) or not content:
        return
    if all(isinstance(key, str) and _fits(key, value) for key, value in content.items()):
        yield place, content
        return
    for key, value in content.items():
        if isinstance(key, str):
            yield from _state_dicts(value, (*place, key))


def _fits(key: str, value: Any) -> bool:
    return isinstance(value, Tensor) or (is_extra(key) and not isinstance(value, _Unread))


def _chosen(places: list[tuple[str, ...]], path: Path) -> tuple[str, ...]:
    """The place whose first key is the first of those known; or the only one."""
    for key in (*AVERAGED, *PLAIN):
        if known := [place for place in places if place and place[0] == key]:
            return known[0]
    if len(places) == 1:
        return places[0]
    named = ", ".join(".".join(place) for place in places[:5])
    raise DataError(
        f"weights must be one state_dict, or one under a known key ({', '.join(PLAIN)}), but "
        f"{path} holds several: {named}; save the right one in a file of its own"
    )


def _no_state_dict(content: Mapping[Any, Any], path: Path) -> DataError:
    """Names the first thing that has no place in a state_dict."""
    for key in (*AVERAGED, *PLAIN):
        inner = content.get(key)
        if isinstance(inner, Mapping) and inner:
            return _no_state_dict(inner, path)
    for key, value in content.items():
        if isinstance(value, _Unread):
            return _pickled(path, value.path)
        if not isinstance(key, str) or not _fits(key, value):
            return _unfit(STATE_DICT, f"{path} holds {key!r}: {type(value).__name__}")
    return _unfit(STATE_DICT, f"{path} holds none")


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except Exception as error:  # SafetensorError, and what torch raises for types that it has not
        raise _unfit("a safetensors file", f"{path} is not one or is damaged") from error


def _torch(path: Path) -> Any:
    """What ``torch.save`` wrote, with an `_Unread` for everything that is code."""
    unread = [_Unread.of(name) for name in _code_in(path)]
    try:
        with warnings.catch_warnings(), safe_globals([(kind, kind.path) for kind in unread]):
            warnings.simplefilter("ignore")  # of pickle protocols and TorchScript; we say it better
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error) from None
    except Exception as error:  # torch.load raises whatever its parsers meet in other bytes
        refused = isinstance(error, pickle.UnpicklingError)
        if refused and (code := re.search(r"GLOBAL ([\w.]+)", str(error))):
            raise _pickled(path, code[1]) from None
        raise _unfit("a file of torch.save", f"{path} is not one or is damaged") from None


def _code_in(path: Path) -> list[str]:
    """Dotted names of classes and functions that unpickling the file would call; none are run."""
    try:
        return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # of a file in the format before torch 1.6, or of another one
        return []


class _Unread(dict[Any, Any]):
    """Stands for an object that only code named in the file could make: takes all it is given, and
    keeps nothing.

    Checkpoints of torchvision and timm hold the ``argparse.Namespace`` of their training beside the
    tensors, others numpy's numbers.
    """

    path = ""

    @staticmethod
    def of(path: str) -> type[_Unread]:
        """A kind of its own for a dotted name."""
        return type("_Unread", (_Unread,), {"path": path})

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    __hash__ = object.__hash__  # type: ignore[assignment]


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"weights must be readable, but {path} is not ({error.strerror})")


def _pickled(path: Path, code: str) -> DataError:
    return _unfit("plain tensors", f"{path} holds pickled code ({code}), which is refused")


def _unfit(must: str, but: str) -> DataError:
    how = "save them with torch.save(model.state_dict(), path)"
    return DataError(f"weights must be {must}, but {but}; {how}")
