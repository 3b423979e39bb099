"""Records ↔ JSON text, driven by the annotations of frozen dataclasses.

A field that the text lacks takes its default, so that what older versions wrote can be read. One
that has another name there says so where it is declared: ``field(metadata=was("regardless"))``.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Self, TypeVar, Union

import numpy as np

from spaces import Policy

T = TypeVar("T")


class Stored:
    """A record that is kept as text.

    A field is a ``bool``, ``int``, ``float``, ``str``, ``Literal`` or `Policy`, a dataclass of such
    fields, or ``X | None``, ``tuple[X, ...]`` or ``dict[str, X]`` of one of these. ``Any`` stands
    for what JSON gives back as it was.
    """

    __slots__ = ()

    def to_json(self) -> str:
        """One JSON object; values that are not finite become strings, as JSON has none."""
        check(typing.cast(Hashable, type(self)))
        return json.dumps(plain(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that ``to_json`` wrote, in this version or in an older one.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: the text is damaged.
        """
        return build(cls, json.loads(text))


def was(name: str) -> dict[str, str]:
    """Metadata of a field that older versions wrote under another name."""
    return {"was": name}


@cache
def check(kind: Any) -> None:
    """Refuse a class with a field of a type that `Stored` does not name, by a `TypeError`."""
    for f in fields(kind):
        if f.init and not _storable(hints_of(kind)[f.name]):
            name = f"{kind.__name__}.{f.name}"
            raise TypeError(f"{name} must be of a type that `Stored` names, but is {f.type}")


def _storable(hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = tuple(member for member in inner if member is not types.NoneType)
        return len(inner) == 1 and _storable(inner[0])
    if origin is tuple:
        return inner[1:] == (Ellipsis,) and _storable(inner[0])
    if origin is dict:
        return inner[0] is str and _storable(inner[1])
    if is_dataclass(hint):
        check(typing.cast(Hashable, hint))
        return True
    return origin is Literal or hint in (bool, int, float, str, Policy, Any)


def plain(value: Any) -> Any:
    """The same value in JSON's own types; NumPy scalars are common where records are made."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.init}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)


def build(kind: type[T], raw: Mapping[str, Any], *, strict: bool = True) -> T:
    """A dataclass from its fields in JSON's own types; ``strict`` refuses what is of no field."""
    hints, values = hints_of(typing.cast(Hashable, kind)), {}
    left = dict(raw)
    for f in fields(kind):  # type: ignore[arg-type]
        for name in (f.name, f.metadata.get("was")):
            if f.init and name in left:
                values[f.name] = _value(hints[f.name], left.pop(name))
    if left and strict:
        raise TypeError(f"{kind.__name__} has no field {next(iter(left))!r}")
    return kind(**values)


@cache
def hints_of(kind: Hashable) -> dict[str, Any]:
    """The type of every name that a class annotates."""
    return typing.get_type_hints(kind)


def _value(hint: Any, raw: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        (hint,) = (member for member in inner if member is not type(None))
        return None if raw is None else _value(hint, raw)
    if origin is tuple:
        return tuple(_value(inner[0], item) for item in raw)
    if origin is dict:
        return {key: _value(inner[1], item) for key, item in raw.items()}
    if hint is float or hint is Policy:
        return hint(raw)
    if origin is not Literal and is_dataclass(hint):
        return build(hint, raw)  # type: ignore[arg-type]
    return raw
