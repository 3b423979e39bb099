"""The command line: what may be typed, and errors in one line. ``commands`` does what was asked.

Nothing that takes long to import is imported here: help and a slip of the keyboard are answered at
once.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from search.comparison.config import CompareConfig
from search.config import SearchConfig
from search.config_file import options_in
from search.errors import (
    NOTHING,
    STOPPED,
    CutShort,
    NothingCameOut,
    SearchStopped,
    crash_line,
    refused_path,
)
from search.flags import HELP_ALL, USER_ERROR, Ended
from search.interrupt import ending_at_once, name_and_code, sigterm_raises
from search.options import Options, check_plain
from search.parsers import (
    compare_parser,
    export_parser,
    inspect_parser,
    list_parser,
    report_parser,
    runs_parser,
    search_parser,
    solve_parser,
)
from search.verbosity import Verbosity, add_verbosity
from spaces import UserError
from spaces.errors import unknown

UNREAD = 141
"""Whoever reads the output has gone, ``head`` say: 128 and the number of SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (stopped), 2 (the user's mistake), 3 (every training
    failed, so there is nothing to ship or to compare), 130 (Ctrl-C) or 143 (SIGTERM).

    Where it is not 0, the last line on stderr says why. There is never a traceback.

    Raises:
        Ended: after ``--help``, and where the arguments do not parse.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = COMMANDS.get(arguments[0]) if arguments else None
    verbosity = Verbosity.USUAL
    try:
        if command is None and arguments and not arguments[0].startswith("-"):
            raise _unknown_command(arguments[0])
        name, read = ("search", _search) if command is None else (arguments[0], command)
        options, verbosity = read(arguments if command is None else arguments[1:])
        run = _run(name, verbosity)
        with sigterm_raises():
            run(name, verbosity, options)
        return 0
    except Ended:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        verbosity.trace(error)
        return _fail(*_last_line(error, verbosity))


def _unknown_command(name: str) -> UserError:
    """The error for a word before the options; whoever types ``search`` needs none."""
    if difflib.get_close_matches(name, [*COMMANDS, "search"], n=1) == ["search"]:
        return UserError(
            f"unknown command {name!r}; a search needs none, did you mean to leave it out? "
            f"Known: {', '.join(COMMANDS)}"
        )
    return unknown("command", name, COMMANDS)


def _last_line(error: BaseException, verbosity: Verbosity) -> tuple[str, int]:
    """What ended the command, in one line, and the exit code."""
    if isinstance(error, UserError):
        return f"error: {error}{verbosity.hint(error)}", USER_ERROR
    if isinstance(error, CutShort):
        return str(error), error.code
    if isinstance(error, SearchStopped):
        return f"stopped: {error}", STOPPED
    if isinstance(error, NothingCameOut):
        return str(error), NOTHING
    if isinstance(error, KeyboardInterrupt):
        what, code = name_and_code(error)
        return f"{what} before a run began; nothing is left to resume", code
    if isinstance(error, SystemExit):  # by the user's model or data, or by rich for a closed pipe
        if isinstance(error.__context__, BrokenPipeError):
            return "", UNREAD
        must = "the model or the data must return, but called"
        return f"stopped: {must} sys.exit({error.code!r}); mend that", STOPPED
    assert isinstance(error, Exception)
    if refusal := refused_path(error):
        return f"error: {refusal}", USER_ERROR
    return crash_line(error), STOPPED


def _run(name: str, verbosity: Verbosity) -> Callable[[str, Verbosity, dict[str, Any]], None]:
    """What does the work; the first time this takes seconds, which a line says."""
    if "torch" not in sys.modules:
        verbosity.note(f"{name}: loading torch")
    with ending_at_once():
        run: Callable[..., None] = import_module("search.commands").run
    return run


class Typed(NamedTuple):
    """What was typed: the options that were given, and how much is to be said."""

    options: dict[str, Any]
    verbosity: Verbosity


def _typed(parser: argparse.ArgumentParser, arguments: Sequence[str], short: bool = False) -> Typed:
    add_verbosity(parser, short)
    options = vars(parser.parse_args(arguments))
    return Typed(options, Verbosity.popped(options))


def _completed(typed: Typed, *known: Options) -> Typed:
    """What was typed, and of the file of ``--config`` what was not."""
    options = dict(typed.options)
    if (path := options.pop("config", None)) is not None:
        options = {**options_in(path, *known), **options}
    return typed._replace(options=options)


def _search(arguments: Sequence[str]) -> Typed:
    """The options as they are typed, refused at once where they cannot be."""
    short = HELP_ALL not in arguments
    typed = _completed(_typed(search_parser(short), arguments, short), SearchConfig())
    SearchConfig.of(**{name: v for name, v in typed.options.items() if name != "dry_run"})
    return typed


def _compare(arguments: Sequence[str]) -> Typed:
    short = HELP_ALL not in arguments
    typed = _typed(compare_parser(short), arguments, short)
    typed = _completed(typed, CompareConfig(), SearchConfig())
    check_plain("RUN", typed.options.get("run") or "")
    return typed


def _report(arguments: Sequence[str]) -> Typed:
    typed = _typed(report_parser(), arguments)
    out = typed.options.get("out")
    for name, text in (*(("RUN", run) for run in typed.options["runs"]), ("--out", out)):
        check_plain(name, text or "")
    if out == "":
        raise UserError("--out must name a file or a folder, but got ''; leave it out")
    return typed


def _solve(arguments: Sequence[str]) -> Typed:
    typed = _typed(solve_parser(), arguments)
    check_plain("RUN", typed.options["run"])
    return typed


def _export(arguments: Sequence[str]) -> Typed:
    typed = _typed(export_parser(), arguments)
    options = typed.options
    check_plain("RUN", options["run"])
    for name in ("images", "batch"):
        given = options.get(name, 1)
        if given != "dynamic" and not (str(given).isdecimal() and int(given) > 0):
            raise UserError(f"--{name} must be a whole number of at least 1, but got {given}")
    if "batch" in options and options["to"] in ("safetensors", "code"):
        raise UserError("--batch is of --to onnx and pt2, which hold a trace; leave it out")
    return typed


def _inspect(arguments: Sequence[str]) -> Typed:
    typed = _completed(_typed(inspect_parser(), arguments), SearchConfig())
    SearchConfig.of(**{name: v for name, v in typed.options.items() if name != "json"})
    return typed


def _list(arguments: Sequence[str]) -> Typed:
    return _typed(list_parser(), arguments)


def _runs(arguments: Sequence[str]) -> Typed:
    typed = _typed(runs_parser(), arguments)
    check_plain("--runs-dir", typed.options.get("runs_dir", ""))
    return typed


COMMANDS: dict[str, Callable[[Sequence[str]], Typed]] = {
    "compare": _compare,
    "export": _export,
    "inspect": _inspect,
    "list": _list,
    "report": _report,
    "runs": _runs,
    "solve": _solve,
}
"""Name → what reads its arguments; ``commands.COMMANDS`` has what takes the options."""


def _fail(line: str, code: int) -> int:
    """Print the line on stderr, without line breaks and as any terminal can show it."""
    if line:
        shown = " ".join(line.split("\n")).encode(errors="backslashreplace").decode()
        print(shown, file=sys.stderr)
    return code
