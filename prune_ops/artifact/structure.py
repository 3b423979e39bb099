"""structure: nested plain values as JSON, with the tensors in them apart, under names.

JSON has fewer types than Python. Whatever it lacks is an object with one key, the kind of the
value: ``(1, 2)`` is ``{"tuple": [1, 2]}``, a tensor ``{"tensor": "conv1.weight"}``.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from spaces.errors import DataError

DTYPES = frozenset(
    getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"),
    )
)
"""Of tensors that safetensors holds as they are; complex ones are held as pairs of real ones."""


class TakenApart:
    """Values whose tensors are taken out of them, each once however many names it has.

    >>> apart = TakenApart()
    >>> apart.add({"steps": (1, torch.ones(2))}, "extra")
    {'dict': {'steps': {'tuple': [1, {'tensor': 'extra/steps/1'}]}}}
    >>> list(apart.tensors)
    ['extra/steps/1']
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[Any, str] = {}

    def add(self, value: Any, path: str = "") -> Any:
        """JSON for ``value``; its tensors go into ``tensors``, under names that begin with path.

        Raises:
            DataError: something in it is neither a tensor nor plain, or nested in itself.
        """
        try:
            return self._json(value, path)
        except RecursionError as error:
            raise DataError(
                f"what is saved must end somewhere, but {path!r} is nested too deeply, or in "
                "itself; give plain lists and dicts"
            ) from error

    def _json(self, value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        kind = type(value)
        if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
            return value
        if kind in (list, tuple, torch.Size):
            items = [self._json(each, _join(path, at)) for at, each in enumerate(value)]
            return items if kind is list else {_KINDS[kind]: items}
        if kind is dict and all(isinstance(key, str) for key in value):
            return {"dict": {key: self._json(v, _join(path, key)) for key, v in value.items()}}
        if kind in (dict, OrderedDict):
            pairs = [
                [self._json(key, path), self._json(v, _join(path, key))] for key, v in value.items()
            ]
            return {_KINDS[kind]: pairs}
        if kind is set:
            return {"set": [self._json(each, path) for each in value]}
        if kind in _WRITTEN:
            return {_KINDS[kind]: _WRITTEN[kind](value)}
        raise DataError(
            f"what is saved must be tensors and plain values, but {path!r} is a {kind.__name__}; "
            "give numbers, strings, lists, dicts and tensors"
        )

    def _tensor(self, tensor: Tensor, path: str) -> Any:
        if tensor.layout == torch.sparse_coo:
            whole = tensor.detach().coalesce()
            parts = [whole.indices(), whole.values(), whole.shape]
            return {"sparse": [self._json(p, _join(path, at)) for at, p in enumerate(parts)]}
        if tensor.is_complex() and tensor.layout == torch.strided:
            real = torch.view_as_real(tensor.detach().resolve_conj())
            return {"complex": self._json(real, path)}
        if tensor.layout != torch.strided or tensor.dtype not in DTYPES:
            what = f"{tensor.dtype}, {tensor.layout}".replace("torch.", "")
            raise DataError(
                f"a tensor that is saved must be dense or sparse_coo and of a usual dtype, but "
                f"{path!r} is {what}; convert it"
            )
        return {"tensor": self._named(tensor, path)}

    def _named(self, tensor: Tensor, name: str) -> str:
        """The name of the tensor: the one that the same memory has already, else its own."""
        place = tensor.untyped_storage().data_ptr(), tensor.storage_offset()
        key = (*place, tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if place[0] and tensor.numel() and key in self._names:
            return self._names[key]
        while name in self.tensors:  # a state_dict may have any names
            name += "_"
        self._names[key], self.tensors[name] = name, tensor
        return name


def can_be_taken_apart(value: Any) -> bool:
    """Whether there is nothing in it but tensors and plain values."""
    try:
        TakenApart().add(value)
    except DataError:
        return False
    return True


def put_together(json: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that was taken apart; shared tensors are one tensor again.

    Raises:
        KeyError, TypeError, ValueError: it is not what `TakenApart` gave, or a tensor is missing.
    """
    if isinstance(json, list):
        return [put_together(each, tensors) for each in json]
    if not isinstance(json, dict):
        return json
    ((kind, content),) = json.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: put_together(each, tensors) for key, each in content.items()}
    return _READ[kind](put_together(content, tensors))


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)


def _sparse(parts: list[Any]) -> Tensor:
    return torch.sparse_coo_tensor(*parts, check_invariants=True).coalesce()


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise ValueError(name)
    return found


def _complex(value: Any) -> Any:
    return (
        torch.view_as_complex(value) if isinstance(value, Tensor) else complex(*map(float, value))
    )


_KINDS: Mapping[type, str] = {
    tuple: "tuple",
    torch.Size: "size",
    dict: "pairs",
    OrderedDict: "ordered",
    float: "float",
    complex: "complex",
    bytes: "bytes",
    bytearray: "bytearray",
    torch.dtype: "dtype",
    torch.device: "device",
}
_WRITTEN: Mapping[type, Callable[[Any], Any]] = {
    float: str,  # those that are not finite, which JSON has not
    complex: lambda value: [str(value.real), str(value.imag)],
    bytes: lambda value: b64encode(value).decode(),
    bytearray: lambda value: b64encode(value).decode(),
    torch.dtype: lambda value: str(value).removeprefix("torch."),
    torch.device: str,
}
_READ: Mapping[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "size": torch.Size,
    "pairs": dict,
    "ordered": OrderedDict,
    "set": set,
    "float": float,
    "complex": _complex,
    "bytes": b64decode,
    "bytearray": lambda value: bytearray(b64decode(value)),
    "dtype": _dtype,
    "device": torch.device,
    "sparse": _sparse,
}
