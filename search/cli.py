"""The command line: what may be typed, and errors in one line. ``commands`` does what was asked.

Nothing that takes long to import is imported here: help and a slip of the keyboard are answered at
once.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

from search.comparison.config import CompareConfig
from search.config import SearchConfig, TaskConfig
from search.config_file import options_in
from search.errors import STOPPED, CutShort, SearchStopped, crash_line, refused_path
from search.flags import HELP_ALL, USER_ERROR, Ended, Parser, add_config, add_dry_run, add_part
from search.interrupt import ending_at_once, name_and_code, sigterm_raises
from search.options import Options, check_plain
from search.verbosity import Verbosity, add_verbosity
from spaces import UserError
from spaces.errors import unknown

UNREAD = 141
"""Whoever reads the output has gone, ``head`` say: 128 and the number of SIGPIPE."""
PACKAGE = "pruning-policy-search"
FORMATS = ("onnx", "pt2", "safetensors")
"""Of ``export --to``; `search.exporting` has what they are."""

ABOUT = """\
Search how many channels each layer should keep under a FLOPs budget.

  python search.py --budget 0.5
      digits, two minutes; runs/digits_small-0.5/report.html says what was found
"""
COMMANDS_SAID = """\
other commands, each with --help:
  inspect  what of a model can be pruned   solve   widths for other budgets
  compare  fine-tune or from scratch?      report  report again, or of several
  runs     every run, with its verdict     list    criteria, models, samplers
  export   ONNX and others to ship
"""
MORE = """\
more examples:
  python search.py --budget 0.7 0.5 0.3 --model resnet20 --weights resnet20.pt \\
      --data imagefolder:cifar10 --rungs 1 4 --trials 100 --workers 2
  python search.py --resume
      goes on with a run that was interrupted or killed
  python search.py inspect --model resnet50
      what can be pruned, what is frozen and why, which budgets are reachable
  python search.py compare runs/digits_small-0.5
      fine-tuning against training from scratch, searched against uniform
  python search.py report runs/one runs/two
      one report that compares several runs at equal FLOPs
  python search.py solve runs/mine --budget 0.4 0.3
      widths for other budgets from the damages that a run keeps, at once
"""
ABOUT_COMPARE = """\
Fine-tune or from scratch? Train what a search found, and uniform widths, from
inherited weights and from fresh ones, with several seeds and equal computation,
and say what can be said.

  python search.py compare runs/digits_small-0.5
      of the front of a finished run; goes on where it was cut short
  python search.py compare runs/digits_small-0.5 --full
      all structures and arms, 8 seeds; without it a line says what that adds
  python search.py compare --budget 0.5
      search first, then compare; takes the options of a search too
"""
ABOUT_EXPORT = """\
Write a network of a run as a file to ship, read it back, compare it with the
network on real images, and describe it in a model card.

  python search.py export runs/digits_small-0.5 --to onnx
      the one to ship, in runs/digits_small-0.5/exports/
  python search.py export runs/digits_small-0.5 --as-code --out small.py
      Python that rebuilds it with torch and safetensors alone
"""
ABOUT_LIST = """\
Names that an option takes, each with a line on what it is.

  python search.py list
      says of what there are lists
  python search.py list criteria
"""
ABOUT_RUNS = """\
Every run in a folder: whether it has ended, and what came out.
"""
ABOUT_INSPECT = """\
Print what of a model can be pruned, what is frozen and why, and which budgets
are reachable. Nothing is trained.
"""
ABOUT_SOLVE = """\
The widths of the least damage within other budgets, at once: from the damages
of each width that a run keeps, if its --sampler is surrogate, as usual, or
repaired_damage is among its --starts. Nothing is measured or trained.

  python search.py solve runs/digits_small-0.5 --budget 0.6 0.4 0.3
      compares the budgets, and prints the widths for each
  python search.py solve runs/digits_small-0.5 --budget 0.4 --save policy.json
      writes the policy too, for spaces.Policy.from_json
"""
ABOUT_REPORT = """\
Make the report of a run again: report.html, report.md and the tables. Of
several runs, one report that compares them at equal FLOPs.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (stopped), 2 (the user's mistake), 130 (Ctrl-C) or 143
    (SIGTERM).

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
    typed = _completed(_typed(_parser(short), arguments, short), SearchConfig())
    SearchConfig.of(**{name: v for name, v in typed.options.items() if name != "dry_run"})
    return typed


def _compare(arguments: Sequence[str]) -> Typed:
    short = HELP_ALL not in arguments
    typed = _typed(_compare_parser(short), arguments, short)
    typed = _completed(typed, CompareConfig(), SearchConfig())
    check_plain("RUN", typed.options.get("run") or "")
    return typed


def _report(arguments: Sequence[str]) -> Typed:
    usage = "python search.py report RUN [RUN ...] [option ...]"
    parser = Parser("search.py report", usage=usage, description=ABOUT_REPORT)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write (default: RUN/report.html; several: here)"
    )
    parser.add_argument("--storage", metavar="NAME", help="database of the study, if not its own")
    typed = _typed(parser, arguments)
    out = typed.options.get("out")
    for name, text in (*(("RUN", run) for run in typed.options["runs"]), ("--out", out)):
        check_plain(name, text or "")
    if out == "":
        raise UserError("--out must name a file or a folder, but got ''; leave it out")
    return typed


def _solve(arguments: Sequence[str]) -> Typed:
    usage = "python search.py solve RUN --budget X [X ...] [option ...]"
    parser = Parser("search.py solve", usage=usage, description=ABOUT_SOLVE)
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--budget",
        nargs="+",
        metavar="X",
        required=True,
        help="most FLOPs to keep: a fraction, or a number (60M); several are compared",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--save", metavar="FILE", help="write the policy of one budget, as JSON")
    parser.add_argument("--storage", metavar="NAME", help="database of the study, if not its own")
    typed = _typed(parser, arguments)
    check_plain("RUN", typed.options["run"])
    return typed


def _export(arguments: Sequence[str]) -> Typed:
    usage = "python search.py export RUN --to FORMAT [option ...]"
    parser = Parser("search.py export", usage=usage, description=ABOUT_EXPORT)
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--to", choices=FORMATS, metavar="FORMAT", help=f"one of: {', '.join(FORMATS)}"
    )
    kind.add_argument(
        "--as-code",
        dest="to",
        action="store_const",
        const="code",
        help="a Python file with the model's own class and the pruned widths, and its weights",
    )
    parser.add_argument(
        "--trial", metavar="N", help="trial, or folder in RUN/models (default: the best one)"
    )
    parser.add_argument("--out", metavar="FILE", help="where to write (default: in RUN/exports)")
    parser.add_argument(
        "--batch",
        metavar="N",
        help="images at once, or dynamic: any number (default: dynamic, or else 1)",
    )
    parser.add_argument(
        "--images", type=int, metavar="N", help="test images to compare on (default: 1000)"
    )
    parser.add_argument("--storage", metavar="NAME", help="database of the study, if not its own")
    typed = _typed(parser, arguments)
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
    parser = Parser(
        "search.py inspect",
        usage="python search.py inspect [option ...]",
        description=ABOUT_INSPECT,
    )
    add_part(parser, TaskConfig(), skip=("train_images", "device", "precision", "sparsity"))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    add_config(parser)
    typed = _completed(_typed(parser, arguments), SearchConfig())
    SearchConfig.of(**{name: v for name, v in typed.options.items() if name != "json"})
    return typed


def _list(arguments: Sequence[str]) -> Typed:
    usage = "python search.py list [WHAT]"
    parser = Parser("search.py list", usage=usage, description=ABOUT_LIST)
    parser.add_argument("what", nargs="?", metavar="WHAT", help="of what; left out: what there is")
    return _typed(parser, arguments)


def _runs(arguments: Sequence[str]) -> Typed:
    usage = "python search.py runs [--runs-dir DIR]"
    parser = Parser("search.py runs", usage=usage, description=ABOUT_RUNS)
    parser.add_argument("--runs-dir", metavar="DIR", help="folder of all runs (default: runs)")
    typed = _typed(parser, arguments)
    check_plain("--runs-dir", typed.options.get("runs_dir", ""))
    return typed


def _parser(short: bool = False) -> argparse.ArgumentParser:
    """The parser of a search; ``short`` is its help, not what it takes."""
    usage = "python search.py [--budget 0.5] [option ...]"
    more = COMMANDS_SAID if short else f"{COMMANDS_SAID}\n{MORE}"
    parser = Parser("search.py", usage=usage, description=ABOUT, epilog=more)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(PACKAGE)}")
    _add_parts(parser, vars(SearchConfig()).values(), short)
    return parser


def _compare_parser(short: bool = False) -> argparse.ArgumentParser:
    usage = "python search.py compare [RUN] [option ...]"
    parser = Parser("search.py compare", usage=usage, description=ABOUT_COMPARE)
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder of a run (default: search)")
    parser.add_argument("--interval", help=argparse.SUPPRESS)  # of the version before
    _add_parts(parser, (CompareConfig(), *vars(SearchConfig()).values()), short)
    return parser


def _add_parts(parser: argparse.ArgumentParser, parts: Iterable[Options], short: bool) -> None:
    parser.add_argument(HELP_ALL, action="help", help="all options, and examples")
    add_config(parser, short)
    add_dry_run(parser, short)
    for part in parts:
        add_part(parser, part, short=short)


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
