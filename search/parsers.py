"""What may be typed: the parser of every command, with the texts of its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from search.comparison.config import CompareConfig
from search.config import SearchConfig, TaskConfig
from search.flags import HELP_ALL, Parser, add_config, add_dry_run, add_part
from search.options import Options
from spaces.errors import unknown

PACKAGE = "pruning-policy-search"
FORMATS = ("onnx", "pt2", "safetensors")
"""Of ``export --to``; `search.exporting` has what they are."""

SHELLS = ("bash", "zsh", "fish")
"""Of ``--completion``."""

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


def search_parser(short: bool = False) -> argparse.ArgumentParser:
    """The parser of a search; ``short`` is its help, not what it takes."""
    usage = "python search.py [--budget 0.5] [option ...]"
    more = COMMANDS_SAID if short else f"{COMMANDS_SAID}\n{MORE}"
    parser = Parser("search.py", usage=usage, description=ABOUT, epilog=more)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(PACKAGE)}")
    text = f"print what makes a shell complete these commands; one of: {', '.join(SHELLS)}"
    about = argparse.SUPPRESS if short else text
    parser.add_argument("--completion", action=Completion, metavar="SHELL", help=about)
    _add_parts(parser, vars(SearchConfig()).values(), short)
    return parser


def compare_parser(short: bool = False) -> argparse.ArgumentParser:
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


def report_parser() -> argparse.ArgumentParser:
    usage = "python search.py report RUN [RUN ...] [option ...]"
    parser = Parser("search.py report", usage=usage, description=ABOUT_REPORT)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write (default: RUN/report.html; several: here)"
    )
    parser.add_argument("--storage", metavar="NAME", help="database of the study, if not its own")
    return parser


def solve_parser() -> argparse.ArgumentParser:
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
    return parser


def export_parser() -> argparse.ArgumentParser:
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
    return parser


def inspect_parser() -> argparse.ArgumentParser:
    parser = Parser(
        "search.py inspect",
        usage="python search.py inspect [option ...]",
        description=ABOUT_INSPECT,
    )
    add_part(parser, TaskConfig(), skip=("train_images", "device", "precision", "sparsity"))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    add_config(parser)
    return parser


def list_parser() -> argparse.ArgumentParser:
    usage = "python search.py list [WHAT]"
    parser = Parser("search.py list", usage=usage, description=ABOUT_LIST)
    parser.add_argument("what", nargs="?", metavar="WHAT", help="of what; left out: what there is")
    return parser


def runs_parser() -> argparse.ArgumentParser:
    usage = "python search.py runs [--runs-dir DIR]"
    parser = Parser("search.py runs", usage=usage, description=ABOUT_RUNS)
    parser.add_argument("--runs-dir", metavar="DIR", help="folder of all runs (default: runs)")
    return parser


PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "compare": compare_parser,
    "export": export_parser,
    "inspect": inspect_parser,
    "list": list_parser,
    "report": report_parser,
    "runs": runs_parser,
    "solve": solve_parser,
}
"""Of every command with a name; a search has none."""


class Completion(argparse.Action):
    """Prints the script and ends, as ``--version`` does."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: Any, value: Any, _option: Any = None
    ) -> None:
        if value not in SHELLS:
            raise unknown("shell", value, SHELLS)
        from search.completion import script  # shtab is needed here alone

        commands = {name: make() for name, make in PARSERS.items()}
        print(script(value, search_parser(), commands))
        parser.exit()
