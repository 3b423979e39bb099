"""Things by name, each imported when it is asked for first: to read the names costs nothing.

The command line knows every name and its help is printed at once, though what the names stand for
needs torch, Optuna and pandas, which take seconds to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")


class Table(MutableMapping[str, T]):
    """Name → thing, from name → the place in a package where it is.

    >>> numbers = Table("fractions", {"half": ":Fraction"})
    >>> list(numbers), numbers["half"]
    (['half'], Fraction(0, 1))

    Args:
        package: dotted name.
        places: ``"module:attribute"`` in the package for each name; a class is called for the
            thing, without arguments and once, anything else is the thing.
    """

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        self._package = package
        self._places = dict(places)
        self._found: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._found:
            self._found[name] = self._imported(self._places[name])
        return self._found[name]

    def __setitem__(self, name: str, thing: T) -> None:
        self._places.setdefault(name, "")
        self._found[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._found.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def _imported(self, place: str) -> T:
        module, _, attribute = place.partition(":")
        path = f"{self._package}.{module}" if module else self._package
        thing: Any = getattr(import_module(path), attribute)
        return thing() if isinstance(thing, type) else thing
