"""Command-line flags made from a config's dataclasses; errors in one line."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from search.config import flag

USER_ERROR = 2
"""Exit code of a mistake of the user's."""


def add_part(parser: argparse.ArgumentParser, part: Any, skip: Sequence[str] = ()) -> None:
    group = parser.add_argument_group((type(part).__doc__ or "").strip())
    hints = typing.get_type_hints(type(part))
    for option in dataclasses.fields(part):
        if option.name not in skip:
            group.add_argument(
                flag(option.name), help=_help(option), **_kind(hints[option.name], option.name)
            )


def _kind(hint: Any, name: str) -> dict[str, Any]:
    """What argparse must know of a field's type."""
    if hint is bool:
        return {"action": "store_true"}
    inner = [t for t in typing.get_args(hint) if t not in (types.NoneType, Ellipsis)]
    several = typing.get_origin(hint) is tuple
    kind = inner[0] if inner else hint
    shown = {int: "N", float: "X", str: "DIR" if name.endswith("_dir") else "NAME"}[kind]
    return {"type": kind, "metavar": shown} | ({"nargs": "+"} if several else {})


def _help(option: dataclasses.Field[Any]) -> str:
    """The help text with the known names and the default."""
    names, default = option.metadata["names"], option.default
    text = option.metadata["help"]
    if names:
        text += f": {', '.join(names)}"
    if default in (None, "", False, ()) or "default" in text:
        return text.replace("%", "%%")
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default: {shown})".replace("%", "%%")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Wide enough for every flag, never wider than 80 columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=79)


class Ended(SystemExit):
    """The command line said all there is to say: help, or a complaint.

    Of its own class, since a user's code may raise ``SystemExit`` too.
    """


class Parser(argparse.ArgumentParser):
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, which finds no value in ``--seed=--`` and makes do with an empty list."""
        for word in args:
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"argument {word.removesuffix('=--')}: expected a value, not --")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """argparse's complaints in one line like all others, without its usage."""
        line = " ".join(message.split()).encode(errors="backslashreplace").decode()
        self.exit(USER_ERROR, f"error: {line}; see --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Say ``message`` on stderr and end.

        Raises:
            Ended: always.
        """
        if message:
            sys.stderr.write(message)
        raise Ended(status)
