"""What the commands of the command line do, each with the options that ``cli`` read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Any

from rich.console import Console, Group

import results
from results import Run
from results.text import duration
from search.comparing import execute_comparison, structure_check
from search.comparison.config import CompareConfig
from search.comparison.resuming import folder_of, options_of, resume_command
from search.config import RunConfig, SearchConfig
from search.errors import STOPPED, CutShort, SearchStopped, crash_line, keep_cause, refused_path
from search.folder import Folder, resolve_folder
from search.interrupt import name_and_code
from search.overview import listed_names, overview
from search.progress import Progress
from search.run import execute
from search.solving import read_budgets, save_policy, training_command
from search.study.open import search_ended
from search.task import inspect as inspecting
from spaces import UserError


def search(**options: Any) -> None:
    """Search, and show what was found."""
    folder = resolve_folder(options)
    with _resumable(folder, lambda: folder.resume_command) as progress:
        run = execute(folder, progress=progress)
    _show(run)


def compare(run: str | None = None, **options: Any) -> None:
    """Compare what a run found, and search first where there is none."""
    own, rest = CompareConfig.split(options)
    folder = folder_of(run, rest)
    config = options_of(folder, own)
    if run is None and not search_ended(folder):
        with _resumable(folder, lambda: _search_command(folder, config)) as progress:
            checks = [structure_check(config, folder)]
            execute(folder, progress=progress, checks=checks, distils=config.distils)
    with _resumable(folder, lambda: resume_command(folder, config)) as progress:
        compared = execute_comparison(folder, config, progress=progress)
    Console().print(results.terminal_comparison(compared.compared, compared.metric))
    _say(f"\nreport: {compared.folder / 'report.html'}")


def report(runs: list[str], out: str | None = None, storage: str | None = None) -> None:
    """Write the report of a run again, or one that compares several."""
    loaded = [results.load(run, storage) for run in runs]
    if len(loaded) == 1:
        (run,) = loaded
        path = run.report(out)
        Console().print(results.terminal_decision(run), results.terminal_table(run))
        if run.compared.arms:
            Console().print(Group("", results.terminal_comparison(run.compared, run.metric)))
    else:
        path = results.report_several(loaded, out or "report.html")
    _say(f"\nreport: {path}")


def solve(
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
        print(dumps(results.solved_json(loaded, solved), indent=2))
        return
    Console().print(results.terminal_solved(loaded, solved))
    if save is not None:
        _say(f"\npolicy: {save}")
    if command := training_command(loaded, budgets):
        _say(f"\ntrain these widths, and uniform ones:\n  {command}")


def inspect(**options: Any) -> None:
    """Print what of a model can be pruned."""
    config = SearchConfig.of(**options)
    cache = Path(config.run.runs_dir) / ".cache" if "data" in options else None
    built = inspecting.built(config.task, cache)
    inspecting.inspect(*built, config.task.round_to, Console())


def _search_command(folder: Folder, config: CompareConfig) -> str:
    search = folder.resume_command.replace("search.py", "search.py compare", 1)
    return f"{search} {config.flags}".rstrip()


def list_names(what: str | None = None) -> None:
    """Print the names of one list, or the lists."""
    for name, about in listed_names(what).items():
        _say(f"{name:<24} {about}".rstrip())


def runs(runs_dir: str = RunConfig.runs_dir) -> None:
    """Print a line or two for each run."""
    found = overview(Path(runs_dir))
    if not found:
        raise UserError(f"--runs-dir must hold runs, but {runs_dir} has none; begin one")
    for seen in found:
        _say(f"{seen.name:<28} {seen.state}")
        for sentence in seen.verdicts:
            _say(f"  {sentence}")


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
        raise CutShort(f"{what}; go on with: {command()}", code) from None
    except UserError as error:
        keep_cause(error, folder.path / "log.txt")
        raise
    except Exception as error:
        if refusal := refused_path(error):
            raise refusal from error
        raise CutShort(crash_line(error, folder.path / "log.txt")) from error


def _show(run: Run) -> None:
    """Print the table, the path of the report, and how to load the networks."""
    Console().print(results.terminal_decision(run), results.terminal_table(run))
    _say(f"\nreport: {run.folder / 'report.html'}")
    if not (run.folder / "models").is_dir():  # another process trained the finals
        _say(f"\nthe networks are in {run.provenance.folder}/models")


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)


COMMANDS: dict[str, Callable[..., None]] = {
    "compare": compare,
    "inspect": inspect,
    "list": list_names,
    "report": report,
    "runs": runs,
    "search": search,
    "solve": solve,
}
"""What does the work of each command; the keys are those of ``cli.COMMANDS``, and ``search``."""
