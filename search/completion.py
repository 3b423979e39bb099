"""Completion of commands, options and their values by a shell; its script is made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import shtab

from search.comparison.config import CompareConfig
from search.config import SearchConfig
from search.verbosity import add_verbosity

COMMAND = "pruning-search"
"""What installing puts on the path: shells complete the words after a command, not a script's."""
PLACES = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "RUN": shtab.DIRECTORY}
"""What stands in help for a file or a folder, which shells know how to complete."""


def script(
    shell: str, search: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser]
) -> str:
    """The script that makes a shell complete ``pruning-search``.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        search: the parser of the command without a name.
        commands: those of the others.
    """
    for parser in (search, *commands.values()):
        add_verbosity(parser)
        for action in parser._actions:
            _complete(action)
    whole = argparse.ArgumentParser(COMMAND, parents=[search], add_help=False)
    named = whole.add_subparsers()
    for name, parser in commands.items():
        about = " ".join((parser.description or "").partition("\n\n")[0].split())
        named.add_parser(name, parents=[parser], add_help=False, description=about, help=about)
    return shtab.complete(whole, shell)


def _complete(action: Any) -> None:
    if action.metavar in PLACES:
        action.complete = PLACES[action.metavar]
    if names := NAMES.get(action.dest):
        action.choices = names


def _names() -> Iterator[tuple[str, Sequence[str]]]:
    for config in (CompareConfig(), SearchConfig()):
        for _, field in config.leaves():
            yield field.name, field.metadata["names"]


NAMES = dict(_names())
"""Option → the names that it takes; none where it takes anything."""
