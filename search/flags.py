"""Command-line flags made from a config's dataclasses; errors in one line."""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from search.options import Field, Options, flag, kinds_of, shown

USER_ERROR = 2
"""Exit code of a mistake of the user's."""


HELP_ALL = "--help-all"


def add_part(
    parser: argparse.ArgumentParser, part: Options, skip: Sequence[str] = (), short: bool = False
) -> None:
    """A flag for every option of a part, under its heading; former names are not in the help.

    Args:
        short: the help has those options alone that a first run needs, and no heading.
    """
    heading = (type(part).__doc__ or "").strip()
    group = parser if short else parser.add_argument_group(heading)
    hints = typing.get_type_hints(type(part))
    for _, option in part.leaves():
        if option.name in skip:
            continue
        kind = _kind(hints[option.name], option)
        shown = _help(option) if option.metadata["first"] or not short else argparse.SUPPRESS
        group.add_argument(flag(option.name), help=shown, **kind)
        if was := option.metadata["was"]:
            group.add_argument(flag(was), dest=option.name, help=argparse.SUPPRESS, **kind)


def add_config(parser: argparse.ArgumentParser, short: bool = False) -> None:
    """The flag of a file that has other flags; ``short`` help does not show it."""
    text = "options from a TOML file, named as here, or of another run: its run.toml or config.json"
    shown = argparse.SUPPRESS if short else f"{text}; what is typed wins"
    parser.add_argument("--config", metavar="FILE", help=shown)


def add_dry_run(parser: argparse.ArgumentParser, short: bool = False) -> None:
    """The flag of a command that is to say what it would do; ``short`` help does not show it."""
    text = "what can be pruned, what would be trained, and the time, memory and disk that takes"
    shown = argparse.SUPPRESS if short else f"{text}; no run is begun"
    parser.add_argument("--dry-run", action="store_true", help=shown)


def _kind(hint: Any, option: Field) -> dict[str, Any]:
    """The arguments of ``add_argument`` that follow from a field's type.

    What is yes or no has a second flag, ``--no-...``, if the results depend on it: its default may
    be yes, now or in another version.
    """
    (kind, *_), several = kinds_of(hint)
    if kind is bool:
        two = not option.metadata["free"]
        return {"action": argparse.BooleanOptionalAction if two else "store_true"}
    shown = option.metadata["value"] or {int: "N", float: "X", str: "NAME"}[kind]
    settings = {"type": kind, "metavar": shown} | ({"nargs": "+"} if several else {})
    return settings | ({"action": "extend"} if option.metadata["adds"] else {})


def _help(option: Field) -> str:
    """The help text with the known names and the default."""
    names, text = option.metadata["names"], option.metadata["help"]
    if names:
        text += f"; one of: {', '.join(names)}"
    if option.default not in (None, "", False, ()) and "default" not in text:
        text += f" (default: {shown(option.default)})"
    return text.replace("%", "%%")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Wide enough for every flag, never wider than 80 columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=79)

    def _split_lines(self, text: str, width: int) -> list[str]:
        """As argparse's, but names with hyphens stay whole."""
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Ended(SystemExit):
    """The command line has printed its help or a complaint.

    A class of its own, since a user's code may raise ``SystemExit`` too.
    """


class Parser(argparse.ArgumentParser):
    """Flags are typed in full, options that are not given are absent, and errors are one line."""

    def __init__(self, prog: str, **texts: str) -> None:
        super().__init__(
            prog,
            formatter_class=Formatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
            **texts,  # type: ignore[arg-type]
        )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, but refuses ``--seed=--``, which it would take for an empty list."""
        for word in args:
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"argument {word.removesuffix('=--')}: expected a value, not --")
        return super().parse_known_args(args, namespace)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse's, but names the option that is nearest to one that is unknown."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._nearest(unknown)}")
        return options

    def _nearest(self, unknown: Sequence[str]) -> str:
        """The flag that was meant by the first of the words that is like one; empty if none is."""
        known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        for word in unknown:
            name = word[2:].partition("=")[0] if word.startswith("--") else ""
            if near := difflib.get_close_matches(name, known, n=1):
                return f" (did you mean --{near[0]}?)"
        return ""

    def error(self, message: str) -> NoReturn:
        """A complaint of argparse in one line, without the usage."""
        line = " ".join(message.split()).encode(errors="backslashreplace").decode()
        self.exit(USER_ERROR, f"error: {line}; see --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Print ``message`` on stderr and raise `Ended`."""
        if message:
            sys.stderr.write(message)
        raise Ended(status)
