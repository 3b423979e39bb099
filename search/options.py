"""Options: a frozen dataclass whose fields say all there is to know of an option, in one place.

    @dataclass(frozen=True)
    class PolicyConfig(Options):
        \"\"\"which policies are tried\"\"\"

        trials: int = option(48, "number of policies to try", least=1, most=10**6)

``PolicyConfig(trials=0)`` is refused in one line. ``search.flags`` makes the command line from it:
the docstring is a heading in ``--help``.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import shlex
import typing
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Self

from spaces.errors import UserError, unknown

Field = dataclasses.Field[Any]

LONGEST = 255
"""Bytes of a file name: no file system takes more."""

KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    NoneType: "None",
}
"""What a type of an option is called."""


def option(
    default: Any,
    help: str,
    *,
    names: Iterable[str] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    free: bool = False,
    grows: bool = False,
    was: str = "",
    read: Callable[[Any], Any] | None = None,
    value: str = "",
    first: bool = False,
    adds: bool = False,
) -> Any:
    """A field with its help text and what must hold of it.

    Args:
        names: the values it may have.
        least, above, most: bounds of a number, or of each of several.
        free: it may change when work is resumed.
        grows: it may grow then: a larger number, further ones of several, or yes for no.
        was: its name in the version before, which is understood too.
        read: makes the value from what was given.
        value: stands for it in the help.
        first: whether it is one of those that a first run needs: short help has no others.
        adds: of a flag that is given several times all values count, and not the last ones alone.
    """
    bounds = (least, above, most)
    metadata = {"help": help, "names": tuple(names), "bounds": bounds, "free": free, "was": was}
    metadata |= {"grows": grows, "read": read or _plain_value, "value": value, "first": first}
    metadata |= {"adds": adds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """A set of options, or a tree of such sets; options are named without the way to them.

    Raises:
        UserError: a value that cannot be; one line that says what must hold and what came.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            if field.metadata:
                _check(field, hints[field.name], getattr(self, field.name))
        for broken in self.rules():
            raise UserError(broken)

    def rules(self) -> Iterable[str]:
        """What several options break together, each in one line."""
        return ()

    @classmethod
    def of(cls, **options: Any) -> Self:
        """The defaults with these options.

        Raises:
            UserError: no such option, or a value that cannot be.
        """
        return cls().having(**options)

    def having(self, **options: Any) -> Self:
        """These options with other values for some; lists may stand for tuples.

        Raises:
            UserError: as ``of``.
        """
        today = self.spellings()
        for name in options:
            if name not in today:
                raise unknown("option", name, today.values())
        return self._replaced({today[name]: value for name, value in options.items()})

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that the option of this set cannot have, whatever the others are.

        Raises:
            UserError: as ``of``.
        """
        field = type(self).__dataclass_fields__[name]
        _check(field, typing.get_type_hints(type(self))[name], field.metadata["read"](value))

    def leaves(self) -> Iterator[tuple[Options, Field]]:
        """Every option with the set that has it, in the order of the tree."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Options):
                yield from value.leaves()
            else:
                yield self, field

    def spellings(self) -> dict[str, str]:
        """The name of every option, and the one it had before, with the name it has."""
        names = {field.metadata["was"] or field.name: field.name for _, field in self.leaves()}
        return names | {name: name for name in names.values()}

    @property
    def values(self) -> dict[str, Any]:
        """The value of every option under its name."""
        return {field.name: getattr(part, field.name) for part, field in self.leaves()}

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not as by default."""
        values, leaves = self.values, self.leaves()
        return {f.name: values[f.name] for _, f in leaves if values[f.name] != f.default}

    def typed(self, names: Iterable[str]) -> str:
        """The flags of these options, as one types them."""
        values = self.values
        told = (_words(name, values[name]) for name in names)
        return shlex.join(str(word) for words in told for word in words)

    def differences(self, other: Self, grown: bool = False) -> list[str]:
        """In words, where ``other`` asks for another thing; ``free`` options are none.

        Args:
            grown: what has grown in ``other`` is none either.
        """
        mine, theirs = self.values, other.values
        fixed = (field.name for _, field in self.leaves() if not field.metadata["free"])
        allowed = self.growth(other) if grown else []
        return [
            f"{flag(name)} {shown(mine[name])} there, {shown(theirs[name])} here"
            for name in fixed
            if mine[name] != theirs[name] and name not in allowed
        ]

    def growth(self, other: Self) -> list[str]:
        """The names of those that have grown in ``other``, and may."""
        mine, theirs = self.values, other.values
        may = (field.name for _, field in self.leaves() if field.metadata["grows"])
        return [name for name in may if _has_grown(mine[name], theirs[name])]

    def _replaced(self, given: Mapping[str, Any]) -> Self:
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Options):
                values[field.name] = value._replaced(given)
            elif field.name in given:
                values[field.name] = field.metadata["read"](given[field.name])
        return dataclasses.replace(self, **values)


def check_plain(name: str, text: str) -> None:
    """Refuse a text of the option ``name`` that cannot be a file name or cannot be printed.

    Raises:
        UserError: a control character, a surrogate, or a part of more than 255 bytes.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise UserError(f"{name} must be plain text, but got {text[:LONGEST]!r}")
    longest = max(len(part.encode()) for part in text.split("/"))
    if longest > LONGEST:
        raise UserError(
            f"{name} must have at most {LONGEST} bytes between slashes, but got {longest}: "
            f"{text[:20]}..."
        )


def _has_grown(before: Any, now: Any) -> bool:
    """None, a default that depends on the data, grows to any number."""
    if isinstance(now, tuple):
        return set(before) < set(now)
    return now is not None and (before is None or now > before)


def flag(name: str) -> str:
    """``final_epochs`` as ``--final-epochs``."""
    return "--" + name.replace("_", "-")


def _words(name: str, value: Any) -> tuple[Any, ...]:
    """An option as it is typed, word by word."""
    if isinstance(value, bool):
        return (flag(name if value else f"no_{name}"),)
    return flag(name), *several(value)


def several(value: Any) -> tuple[Any, ...]:
    """The values of an option; one, unless it takes several."""
    return value if isinstance(value, tuple) else (value,)


def shown(value: Any) -> str:
    """As it is typed after its flag."""
    return " ".join(map(str, several(value)))


def kinds_of(hint: Any) -> tuple[list[type], bool]:
    """The types that an annotation allows, None among them, and whether it is of several values.

    >>> kinds_of(tuple[int, ...])
    ([<class 'int'>], True)
    """
    kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not Ellipsis]
    return kinds, typing.get_origin(hint) is tuple


def _plain_value(value: Any) -> Any:
    """Lists become tuples, paths text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(value) if isinstance(value, list) else value


def _check(field: Field, hint: Any, value: Any) -> None:
    name, names = flag(field.name), field.metadata["names"]
    kinds, many = kinds_of(hint)
    if many != isinstance(value, tuple) or not all(_is_of(one, kinds) for one in several(value)):
        must = " or ".join(KINDS[kind] for kind in kinds)
        must = f"several values, each {must}" if many else must
        raise UserError(f"{name} must be {must}, but got {value!r}")
    for one in several(value):
        if isinstance(one, str):
            check_plain(name, one)
        elif one is not None and (must := _broken(one, field, float in kinds)):
            raise UserError(f"{name} must be {must}")
        if names and one not in names:
            raise unknown(name.strip("-"), one, names)
    if names and len(set(several(value))) < len(several(value)):
        raise UserError(f"{name} must name different ones, but got {shown(value)}; name each once")


def _is_of(value: Any, kinds: Iterable[type]) -> bool:
    """A whole number is a number too, and True is neither."""
    abstract = {int: numbers.Integral, float: numbers.Real}
    fit = any(isinstance(value, abstract.get(kind, kind)) for kind in kinds)
    return fit and (bool in kinds or not isinstance(value, bool))


def _broken(value: float, field: Field, real: bool) -> str:
    """The bound that a number does not keep, and the number; empty where it keeps all."""
    least, above, most = field.metadata["bounds"]
    if real and least is not None and most is not None:
        return "" if least <= value <= most else f"between {least} and {most}, but got {value}"
    if above is not None and not above < value < math.inf:
        return f"above {above}, but got {value}"
    if least is not None and not least <= value < math.inf:
        return f"at least {least}, but got {value}"
    return f"at most {most:,}, but got {value:,}" if most is not None and value > most else ""
