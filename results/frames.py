"""Records → pandas: a column for each field, typed as the field is.

>>> pd.DataFrame(columns(SweepPoint, run.compared.sweep))
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from inspect import getmembers
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, Union

import pandas as pd

from results.codec import hints_of
from spaces import Policy

Columns = dict[str, "pd.Series[Any]"]
DTYPES: dict[Any, str] = {int: "int64", float: "float64", bool: "bool", str: "string"}


def columns(kind: type, records: Sequence[Any], first: str = "", rest: bool = True) -> Columns:
    """A column for each field of the records that holds one value; fields of a record in it too.

    Args:
        first: names of fields and properties that come first, in their order;
            ``p_adjusted=adjusted`` is a column with another name than its field. One that holds
            several values, as ``seed=seeds``, makes a row of each.
        rest: whether the fields that are not named get a column.
    """
    places = _places(kind)
    pairs = (word.partition("=") for word in first.split())
    wanted = {name: place or name for name, _, place in pairs}
    if rest:
        plain = [n for n, place in places.items() if place.field and _dtype(place.hint)]
        wanted |= {name: name for name in plain if name not in wanted.values()}
    shown = {name: places[place] for name, place in wanted.items()}
    several = next((attrgetter(place.path) for place in shown.values() if place.several), None)
    rows = [(r, i) for r in records for i in range(len(several(r)) if several else 1)]
    return {name: _series(place, rows) for name, place in shown.items()}


def widths(policies: Iterable[Policy | None]) -> Columns:
    """``width:<group>``: how many channels each group keeps."""
    return named("width", "Int64", [policy or {} for policy in policies])


def named(prefix: str, dtype: str, rows: Sequence[Mapping[str, Any]]) -> Columns:
    """One column for every key, in the order of their first appearance."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return {
        f"{prefix}:{key}": pd.Series([row.get(key) for row in rows], dtype=dtype) for key in keys
    }


def numbered(prefix: str, dtype: str, rows: Sequence[Sequence[Any]], names: range) -> Columns:
    """One column a number; every row's first value is that of the first."""
    return {
        f"{prefix}:{name}": pd.Series([_at(row, i) for row in rows], dtype=dtype)
        for i, name in enumerate(names)
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands in a record, what it is, and whether it is a field's."""

    path: str
    hint: Any
    field: bool

    @property
    def several(self) -> bool:
        """Whether it is a tuple of values."""
        return typing.get_origin(self.hint) is tuple


def _series(place: _Place, rows: Sequence[tuple[Any, int]]) -> pd.Series[Any]:
    """The column, of records and places among their several values."""
    of, hint = attrgetter(place.path), place.hint
    if place.several:
        return pd.Series([_at(of(r), i) for r, i in rows], dtype=_dtype(typing.get_args(hint)[0]))
    return pd.Series([of(r) for r, _ in rows], dtype=_dtype(hint))


@cache
def _places(kind: Any) -> dict[str, _Place]:
    """Fields and properties by name, those of a record in it in its place; of two with one name the
    outer or the first."""
    places: dict[str, _Place] = {}
    for f in fields(kind):
        hint = hints_of(kind)[f.name]
        inner = _places(typing.cast(Any, hint)) if is_dataclass(hint) else {}
        within = {n: replace(p, path=f"{f.name}.{p.path}") for n, p in inner.items()}
        new = {n: place for n, place in within.items() if n not in places}
        places = places | new | {f.name: _Place(f.name, hint, True)}
    for name, own in getmembers(kind, lambda member: isinstance(member, property)):
        places.setdefault(name, _Place(name, typing.get_type_hints(own.fget)["return"], False))
    return places


def _dtype(hint: Any) -> str | None:
    """The pandas type of a column of it; ``None`` if it fits into no column."""
    inner = [member for member in typing.get_args(hint) if member is not type(None)]
    if typing.get_origin(hint) in (Union, UnionType):
        return "Int64" if inner == [int] else _dtype(inner[0])
    return "string" if typing.get_origin(hint) is Literal else DTYPES.get(hint)


def _at(values: Sequence[Any], i: int) -> Any:
    return values[i] if i < len(values) else None
