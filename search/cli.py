"""The command line: flags from the config tree, errors in one line, and how to go on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group

import results
from results import Run
from results.text import duration
from search.compare import execute_comparison, structure_check
from search.comparison.config import CompareConfig
from search.comparison.resuming import folder_of, options_of, resume_command
from search.config import SearchConfig, TaskConfig
from search.errors import SearchStopped, crash_line
from search.flags import USER_ERROR, Ended, Parser, add_part
from search.folder import Folder, resolve_folder
from search.interrupt import name_and_code, sigterm_raises
from search.options import check_plain
from search.progress import Progress
from search.run import execute
from search.solving import read_budgets, save_policy, training_command
from search.study.open import search_ended
from search.task.inspect import built, inspect
from spaces import UserError
from spaces.errors import unknown

STOPPED = 1

ABOUT = """\
Search how many channels each layer should keep under a FLOPs budget.

  python search.py --budget 0.5
      digits, two minutes; runs/digits_small-0.5/report.html says what was found
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
  python search.py compare --budget 0.5
      search first, then compare; takes the options of a search too
  python search.py compare --resume
      goes on with the latest run: with its search, then with the comparison
"""
ABOUT_INSPECT = """\
Print what of a model can be pruned, what is frozen and why, and which budgets
are reachable. Nothing is trained.
"""
ABOUT_SOLVE = """\
The widths of the least damage within other budgets, at once: from the table
that a run with --starts repaired_damage keeps. Nothing is measured or trained.

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
    try:
        if command is None and arguments and not arguments[0].startswith("-"):
            raise unknown("command", arguments[0], COMMANDS)
        with sigterm_raises():
            return command(arguments[1:]) if command else _search(arguments)
    except UserError as error:
        return _fail(f"error: {error}", USER_ERROR)
    except _CutShort as cut:
        return _fail(*cut.args)
    except SearchStopped as stopped:
        return _fail(f"stopped: {stopped}", STOPPED)
    except KeyboardInterrupt as interrupt:
        what, code = name_and_code(interrupt)
        return _fail(f"{what} before a run began; nothing is left to resume", code)
    except Ended:
        raise
    except SystemExit as end:  # raised by the user's model or data
        must = "the model or the data must return, but called"
        return _fail(f"stopped: {must} sys.exit({end.code!r}); mend that", STOPPED)
    except Exception as error:
        return _fail(crash_line(error), STOPPED)


class _CutShort(Exception):
    """Resumable work was cut short: the line that says so, and the exit code."""


def _search(arguments: Sequence[str]) -> int:
    folder = resolve_folder(vars(_parser().parse_args(arguments)))
    with _resumable(folder, lambda: folder.resume_command) as progress:
        run = execute(folder, progress=progress)
    _show(run)
    return 0


def _compare(arguments: Sequence[str]) -> int:
    options = vars(_compare_parser().parse_args(arguments))
    path = options.pop("run", None)
    check_plain("RUN", path or "")
    own, rest = CompareConfig.split(options)
    folder = folder_of(path, rest)
    config = options_of(folder, own)
    if path is None and not search_ended(folder):
        with _resumable(folder, lambda: _search_command(folder, config)) as progress:
            checks = [structure_check(config, folder)]
            execute(folder, progress=progress, checks=checks, distils=config.distils)
    with _resumable(folder, lambda: resume_command(folder, config)) as progress:
        run = execute_comparison(folder, config, progress=progress)
    Console().print(results.terminal_comparison(run.compared))
    _say(f"\nreport: {run.folder / 'report.html'}")
    return 0


def _search_command(folder: Folder, config: CompareConfig) -> str:
    search = folder.resume_command.replace("search.py", "search.py compare", 1)
    return f"{search} {config.flags}".rstrip()


def _report(arguments: Sequence[str]) -> int:
    usage = "python search.py report RUN [RUN ...] [option ...]"
    parser = Parser("search.py report", usage=usage, description=ABOUT_REPORT)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write (default: RUN/report.html; several: here)"
    )
    parser.add_argument("--storage", metavar="NAME", help="database of the study, if not its own")
    parser.set_defaults(out=None, storage=None)
    options = parser.parse_args(arguments)
    for name, text in (*(("RUN", run) for run in options.runs), ("--out", options.out or "")):
        check_plain(name, text)
    if options.out == "":
        raise UserError("--out must name a file or a folder, but got ''; leave it out")
    runs = [results.load(run, options.storage) for run in options.runs]
    if len(runs) == 1:
        (run,) = runs
        path = run.report(options.out)
        Console().print(results.terminal_table(run))
        if run.compared.arms:
            Console().print(Group("", results.terminal_comparison(run.compared)))
    else:
        path = results.report_several(runs, options.out or "report.html")
    _say(f"\nreport: {path}")
    return 0


def _solve(arguments: Sequence[str]) -> int:
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
    parser.set_defaults(json=False, save=None, storage=None)
    options = parser.parse_args(arguments)
    check_plain("RUN", options.run)
    budgets = read_budgets(options.budget, options.save)
    run = results.load(options.run, options.storage)
    solved = [run.solve(budget) for budget in budgets]
    if options.save is not None:
        save_policy(solved[0].policy, options.save)
    if options.json:
        print(json.dumps(results.solved_json(run, solved), indent=2))
        return 0
    Console().print(results.terminal_solved(run, solved))
    if options.save is not None:
        _say(f"\npolicy: {options.save}")
    if command := training_command(run, budgets):
        _say(f"\ntrain these widths, and uniform ones:\n  {command}")
    return 0


@contextmanager
def _resumable(folder: Folder, command: Callable[[], str]) -> Iterator[Progress]:
    """Work on a run's folder; if it is cut short, ``command`` says how to go on."""
    try:
        with Progress(Console(stderr=True), duration) as progress:
            yield progress
    except (KeyboardInterrupt, SearchStopped) as reason:
        if not folder.begun:
            raise
        what, code = f"stopped: {reason}", STOPPED
        if isinstance(reason, KeyboardInterrupt):
            what, code = name_and_code(reason)
        raise _CutShort(f"{what}; go on with: {command()}", code) from None
    except UserError:
        raise
    except Exception as error:
        raise _CutShort(crash_line(error, folder.path / "log.txt"), STOPPED) from error


def _show(run: Run) -> None:
    """Print the table, the path of the report, and how to load the networks."""
    Console().print(results.terminal_table(run))
    _say(f"\nreport: {run.folder / 'report.html'}")
    best = [final for final in run.finals if final.best]
    if not best:
        return
    if not (run.folder / "models").is_dir():  # another process trained the finals
        _say(f"\nthe networks are in {run.provenance.folder}/models")
        return
    _say("\nload what was found:\n  import prune_ops; from search import models")
    for final in best:
        where = str(run.folder / "models" / str(final.number))
        loaded = f"prune_ops.load({run.provenance.fresh}, {where!r})"
        _say(f"  model = {loaded}  # budget {final.budget}")


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)


def _inspect(arguments: Sequence[str]) -> int:
    parser = Parser(
        "search.py inspect",
        usage="python search.py inspect [option ...]",
        description=ABOUT_INSPECT,
    )
    add_part(parser, TaskConfig(), skip=("train_images", "device", "sparsity"))
    options = vars(parser.parse_args(arguments))
    config = SearchConfig.of(**options)
    cache = Path(config.run.runs_dir) / ".cache" if "data" in options else None
    inspect(*built(config.task, cache), config.task.round_to, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    usage = "python search.py [--budget 0.5] [option ...]"
    parser = Parser("search.py", usage=usage, description=ABOUT, epilog=MORE)
    for part in vars(SearchConfig()).values():
        add_part(parser, part)
    return parser


def _compare_parser() -> argparse.ArgumentParser:
    usage = "python search.py compare [RUN] [option ...]"
    parser = Parser("search.py compare", usage=usage, description=ABOUT_COMPARE)
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder of a run (default: search)")
    parser.add_argument("--interval", help=argparse.SUPPRESS)  # of the version before
    for part in (CompareConfig(), *vars(SearchConfig()).values()):
        add_part(parser, part)
    return parser


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "compare": _compare,
    "inspect": _inspect,
    "report": _report,
    "solve": _solve,
}


def _fail(line: str, code: int) -> int:
    """Print the line on stderr, without line breaks and as any terminal can show it."""
    shown = " ".join(line.split("\n")).encode(errors="backslashreplace").decode()
    print(shown, file=sys.stderr)
    return code
