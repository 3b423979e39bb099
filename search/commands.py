"""What the commands of the command line do, each with the options that ``cli`` read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from json import dumps
from pathlib import Path
from shlex import quote
from typing import Any

from rich.text import Text

import results
import spaces
from results import Run
from results.contrasts import unanswered
from search.comparing import execute_comparison, structure_check
from search.comparison.config import CompareConfig
from search.comparison.resuming import folder_of, options_of, resume_command
from search.config import RunConfig, SearchConfig
from search.dry_run import dry_comparison, dry_search
from search.errors import STOPPED, CutShort, SearchStopped, crash_line, keep_cause, refused_path
from search.exporting import export as exporting
from search.folder import Folder, resolve_folder
from search.foreseen import shown
from search.interrupt import name_and_code
from search.outcome import check_compared, check_shipped
from search.overview import listed_names, overview
from search.progress import Progress
from search.run import execute
from search.solving import read_budgets, save_policy, training_command
from search.study.open import search_ended
from search.task import inspect as inspecting
from search.task.prepare import discovering, load_task
from search.terminal import Terminal
from search.verbosity import Verbosity
from spaces import Space, UserError


def run(name: str, verbosity: Verbosity, options: Mapping[str, Any]) -> None:
    """Run the command of that name."""
    COMMANDS[name](Terminal(verbosity), **options)


def search(terminal: Terminal, dry_run: bool = False, **options: Any) -> None:
    """Search, and show what was found."""
    folder = resolve_folder(options)
    if dry_run:
        with terminal.progress() as progress:
            foreseen = dry_search(folder, progress)
        terminal.result(shown(foreseen))
        return
    with _resumable(terminal, folder, lambda: folder.resume_command) as progress:
        run = execute(folder, progress=progress)
    _show(terminal, run)
    check_shipped(run)


def compare(
    terminal: Terminal, run: str | None = None, dry_run: bool = False, **options: Any
) -> None:
    """Compare what a run found, and search first where there is none."""
    own, rest = CompareConfig.split(options)
    folder = folder_of(run, rest)
    config = options_of(folder, own)
    if dry_run:
        _compare_dry(terminal, folder, config, searched=run is not None or search_ended(folder))
        return
    with terminal.progress() as progress:
        for line in unanswered(config.structures, config.arms):
            progress.warn(f"warning: {line}")
    if run is None and not search_ended(folder):
        with _resumable(terminal, folder, lambda: _search_command(folder, config)) as progress:
            checks = [structure_check(config, folder)]
            execute(folder, progress=progress, checks=checks, distils=config.distils)
    with _resumable(terminal, folder, lambda: resume_command(folder, config)) as progress:
        compared = execute_comparison(folder, config, progress=progress)
    terminal.result(results.terminal_comparison(compared.compared, compared.metric))
    terminal.line(f"\nreport: {compared.folder / 'report.html'}")
    check_compared(compared)


def _compare_dry(terminal: Terminal, folder: Folder, config: CompareConfig, searched: bool) -> None:
    with terminal.progress() as progress:
        if searched:
            check = structure_check(config, folder)
            foreseen = dry_comparison(folder, config, progress, check)
        else:
            foreseen = dry_search(folder, progress)
    terminal.result(shown(foreseen))
    if not searched:
        terminal.line(
            "\nThat is the search; what is compared depends on what it finds. When it has ended:\n"
            f"  python search.py compare {quote(str(folder.path))} {config.flags} --dry-run"
        )


def report(
    terminal: Terminal, runs: list[str], out: str | None = None, storage: str | None = None
) -> None:
    """Write the report of a run again, or one that compares several."""
    loaded = [results.load(run, storage) for run in runs]
    if len(loaded) == 1:
        (run,) = loaded
        path = run.report(out)
        terminal.result(results.terminal_decision(run))
        terminal.details(results.terminal_table(run))
        if run.compared.arms:
            terminal.details("", results.terminal_comparison(run.compared, run.metric))
    else:
        path = results.report_several(loaded, out or "report.html")
    terminal.line(f"\nreport: {path}")


def solve(
    terminal: Terminal,
    run: str,
    budget: list[str],
    json: bool = False,
    save: str | None = None,
    storage: str | None = None,
) -> None:
    """Print the widths of the least damage within other budgets."""
    budgets = read_budgets(budget, save)
    loaded = results.load(run, storage)
    solved = [loaded.solve(each) for each in budgets]
    if save is not None:
        save_policy(solved[0].policy, save)
    if json:
        terminal.line(dumps(results.solved_json(loaded, solved), indent=2))
        return
    terminal.result(results.terminal_solved(loaded, solved))
    if save is not None:
        terminal.line(f"\npolicy: {save}")
    if command := training_command(loaded, budgets):
        terminal.line(f"\ntrain these widths, and uniform ones:\n  {command}")


def export(terminal: Terminal, run: str, **options: Any) -> None:
    """Write a network of a run as a file to ship, and say what was checked."""
    with terminal.progress() as progress:
        exported = exporting.export(run, **options, progress=progress)
    terminal.line(f"{exported.title}\n")
    for path in (*exported.files, exported.card):
        terminal.line(f"  {path}")
    for line in exported.checks:
        terminal.details("", Text(line))


def inspect(terminal: Terminal, json: bool = False, **options: Any) -> None:
    """Print what of a model can be pruned."""
    # What the user's code prints is no part of the object.
    with redirect_stdout(sys.stderr) if json else nullcontext():
        name, space, example = _inspected(terminal, **options)
    if json:
        terminal.line(dumps(inspecting.listed(name, space, example), indent=2))
    else:
        terminal.result(inspecting.described(space, example))


def _inspected(terminal: Terminal, **options: Any) -> tuple[str, Space, Any]:
    """The name of a task or a model, its space, and its inputs for one item."""
    config = SearchConfig.of(**options)
    cache = Path(config.run.runs_dir) / ".cache" if "data" in options else None
    with terminal.progress() as progress:
        asked = config.task
        if asked.task is not None or asked.loss is not None or asked.metric is not None:
            task = load_task(config, Path(config.run.runs_dir) / ".cache", progress)
            model, example, name = task.model, task.example, task.name
        else:
            model, example = inspecting.built(asked, cache, progress.say)
            name = asked.model
        progress.say(discovering(name))
        space = spaces.discover(model, example, asked.round_to, asked.inside)
        return name, space, example


def _search_command(folder: Folder, config: CompareConfig) -> str:
    search = folder.resume_command.replace("search.py", "search.py compare", 1)
    return f"{search} {config.flags}".rstrip()


def list_names(terminal: Terminal, what: str | None = None) -> None:
    """Print the names of one list, or the lists."""
    listed = listed_names(what)
    width = max(map(len, listed))
    for name, about in listed.items():
        terminal.line(f"{name:<{width}}  {about}".rstrip())


def runs(terminal: Terminal, runs_dir: str = RunConfig.runs_dir) -> None:
    """Print a line or two for each run."""
    found = overview(Path(runs_dir))
    if not found:
        raise UserError(f"--runs-dir must hold runs, but {runs_dir} has none; begin one")
    for seen in found:
        terminal.line(f"{seen.name:<28} {seen.state}")
        for sentence in seen.verdicts:
            terminal.line(f"  {sentence}")


@contextmanager
def _resumable(
    terminal: Terminal, folder: Folder, command: Callable[[], str]
) -> Iterator[Progress]:
    """Work on a run's folder; if it is cut short, ``command`` says how to go on."""
    try:
        with terminal.progress() as progress:
            yield progress
    except (KeyboardInterrupt, SearchStopped) as reason:
        if not folder.begun:
            raise
        what, code = f"stopped: {reason}", STOPPED
        if isinstance(reason, KeyboardInterrupt):
            what, code = name_and_code(reason)
        raise CutShort(f"{what}; go on with: {command()}", code) from None
    except UserError as error:
        keep_cause(error, folder.path / "log.txt")
        raise
    except Exception as error:
        if refusal := refused_path(error):
            raise refusal from error
        raise CutShort(crash_line(error, folder.path / "log.txt")) from error


def _show(terminal: Terminal, run: Run) -> None:
    """Print the decision, the table, the path of the report, and where the networks are."""
    terminal.result(results.terminal_decision(run))
    terminal.details(results.terminal_table(run))
    terminal.line(f"\nreport: {run.folder / 'report.html'}")
    if not (run.folder / "models").is_dir():  # another process trained the finals
        terminal.line(f"\nthe networks are in {run.provenance.folder}/models")


COMMANDS: dict[str, Callable[..., None]] = {
    "compare": compare,
    "export": export,
    "inspect": inspect,
    "list": list_names,
    "report": report,
    "runs": runs,
    "search": search,
    "solve": solve,
}
"""What does the work of each command; the keys are those of ``cli.COMMANDS``, and ``search``."""
