"""The command line: flags made from the config tree, errors in one line, what to do next."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

import results
from results import Run
from search.config import SearchConfig, TaskConfig, flag
from search.engines import SearchStopped
from search.folder import place
from search.inspect import inspect, untrained, without_data
from search.progress import Progress
from search.run import execute
from spaces import UserError

USER_ERROR, STOPPED, INTERRUPTED = 2, 1, 130

ABOUT = """\
Search how many channels each layer should keep under a FLOPs budget.

  python search.py --budget 0.5
      digits, two minutes; runs/digits_cnn-0.5/report.html says what was found
"""
MORE = """\
more examples:
  python search.py --budget 0.7 0.5 0.3 --model resnet20 --weights resnet20.pt \\
      --data imagefolder:cifar10 --rungs 1 4 --trials 100 --workers 2
  python search.py --resume
      goes on with a run that was interrupted or killed
  python search.py inspect --model resnet50
      what can be pruned, what is frozen and why, which budgets are reachable
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0, 1 stopped, 2 the user's mistake, 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["inspect"]:
            return _inspect(arguments[1:])
        return _search(arguments)
    except UserError as error:
        return _fail(f"error: {error}", USER_ERROR)
    except SearchStopped as stopped:
        return _fail(f"stopped: {stopped}", STOPPED)
    except KeyboardInterrupt:
        return _fail("interrupted before a run began; nothing is left to resume", INTERRUPTED)


def _search(arguments: Sequence[str]) -> int:
    options = vars(_parser().parse_args(arguments))
    folder = place(options)
    errors = Console(stderr=True)
    try:
        with Progress(errors) as progress:
            run = execute(folder, progress=progress)
    except (KeyboardInterrupt, SearchStopped) as reason:
        if not folder.begun:
            raise
        said = "interrupted" if isinstance(reason, KeyboardInterrupt) else f"stopped: {reason}"
        code = INTERRUPTED if isinstance(reason, KeyboardInterrupt) else STOPPED
        return _fail(f"{said}; go on with: {folder.resume_command}", code)
    _show(run, Console())
    return 0


def _show(run: Run, console: Console) -> None:
    """The table, where the report is, and how to load what was found."""
    console.print(results.terminal_table(run.records, run.finals, run.provenance))
    console.print(f"\nreport: {run.folder / 'report.html'}", highlight=False, soft_wrap=True)
    best = [final for final in run.finals if final.best]
    if not best:
        return
    if not (run.folder / "models").is_dir():  # another process trained the finals
        where = f"{run.provenance['folder']}/models"
        console.print(f"\nthe networks are in {where}", highlight=False, soft_wrap=True)
        return
    console.print("\nload what was found:\n  import prune_ops; from search import models")
    fresh = run.provenance["fresh"]
    for final in best:
        where = str(run.folder / "models" / str(final.number))
        line = f"  model = prune_ops.load({fresh}, {where!r})  # budget {final.budget}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _inspect(arguments: Sequence[str]) -> int:
    parser = _Parser(
        prog="search.py inspect",
        description="Print what of a model can be pruned, what is frozen and why, and which "
        "budgets are reachable. Nothing is trained.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    _add_part(parser, TaskConfig(), skip=("train_images", "device"))
    options = vars(parser.parse_args(arguments))
    config = SearchConfig.of(**options)
    cache = Path(config.run.runs_dir) / ".cache"
    given = untrained(config.task, cache) if "data" in options else without_data(config.task)
    inspect(*given, config.task.round_to, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="search.py",
        usage="python search.py [--budget 0.5] [option ...]",
        description=ABOUT,
        epilog=MORE,
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,  # so that what was given is told from what was not
        allow_abbrev=False,
    )
    config = SearchConfig()
    for part in dataclasses.fields(config):
        _add_part(parser, getattr(config, part.name))
    return parser


def _add_part(parser: argparse.ArgumentParser, part: Any, skip: Sequence[str] = ()) -> None:
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
    if default in (None, "", False) or "default" in text:
        return text.replace("%", "%%")
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default: {shown})".replace("%", "%%")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Wide enough for every flag, never wider than 80 columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=79)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """argparse's complaints in one line like all others, without its usage."""
        self.exit(USER_ERROR, f"error: {message}; see --help\n")


def _fail(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code
