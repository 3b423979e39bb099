"""What ``--full`` stands for with one network, and what it would add to a smaller comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import ARMS
from results.text import duration, listed, plural
from results.training import TrainingRecord
from search.comparison.config import FULL, CompareConfig
from search.comparison.structures import SLIMMING, check_structure
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.task.fit import check_teacher
from search.training.specs import flops_of_training
from spaces import Budget
from spaces.errors import UserError


def check_own_loop(options: CompareConfig) -> None:
    """Check that nothing is asked for by name that a loop of the user's leaves out.

    Raises:
        UserError: what, and why.
    """
    for where, name, why in _of_our_loop(options):
        if not options.is_usual(where) and not options.takes_all(where):
            raise UserError(f"{why}; leave {name} out")
    if options.rates != CompareConfig.rates:
        raise UserError("--rates are of our own training loop, but another trains; leave them out")


def possible(
    options: CompareConfig, evaluator: Evaluator, budgets: Sequence[Budget]
) -> tuple[CompareConfig, list[str]]:
    """The options without what ``full`` has, or all have by default, and cannot be.

    Returns:
        The options, and for everything that was left out a clause that says why.
    """
    left_out = dict(_impossible(options, evaluator, budgets))
    kept = {
        name: tuple(each for each in options.values[name] if each not in left_out)
        for name in ("structures", "arms")
    }
    where = "left out of --full" if options.full else "left out"
    return options.having(**kept), [f"{where}: {why}" for why in left_out.values()]


def _impossible(
    options: CompareConfig, evaluator: Evaluator, budgets: Sequence[Budget]
) -> Iterator[tuple[str, str]]:
    """Name and reason of every structure and arm."""
    task, space = evaluator.task, evaluator.space
    if task.train_loop is not None:
        yield from ((name, why) for _, name, why in _of_our_loop(options))
    if options.takes_all("structures"):
        for name in options.structures:
            try:
                check_structure(name, task.model, space, budgets)
            except UserError as error:
                yield name, str(error)
    if options.takes_all("arms"):
        try:
            check_teacher(task)
        except UserError as error:
            yield from ((arm, f"--arms {arm}: {error}") for arm in ARMS if ARMS[arm].distils)


def _of_our_loop(options: CompareConfig) -> Iterator[tuple[str, str, str]]:
    """Option, name and reason of what only our own training loop does."""
    for name in options.arms:
        if ARMS[name].has_own_rate:
            yield "arms", name, f"--arms {name} sets the learning rate, which your own loop has"
        if ARMS[name].distils:
            yield "arms", name, f"--arms {name} distils, which your own loop does not"
    if SLIMMING in options.structures:
        yield (
            "structures",
            SLIMMING,
            f"--structures {SLIMMING} trains sparsely, which your own loop does not",
        )


def fuller(options: CompareConfig) -> CompareConfig:
    """The same comparison with ``--full``."""
    most = max(options.seeds, FULL["seeds"])
    return options.having(**{**FULL, "seeds": most, "full": True})


def added(options: CompareConfig, full: CompareConfig) -> str:
    """What ``full`` has and ``options`` have not: ``l1, slimming, distilled and 5 seeds``."""
    parts = [
        each
        for name in ("structures", "arms")
        for each in full.values[name]
        if each not in options.values[name]
    ]
    more = full.seeds - options.seeds
    return listed([*parts, plural(more, "seed")] if more else parts)


def seconds_of(
    jobs: Sequence[TrainingJob], known: Sequence[TrainingRecord], evaluator: Evaluator, at_once: int
) -> float:
    """Seconds of the jobs at the pace of known trainings; nan where none is known."""
    timed = [r for r in known if r.training_flops and r.seconds == r.seconds]
    flops = sum(record.training_flops for record in timed)
    if not flops:
        return float("nan")
    pace = sum(record.seconds for record in timed) / flops
    images, space = evaluator.specs.images, evaluator.space
    work = sum(flops_of_training(space, job.candidate.policy, job.spec) for job in jobs)
    return images * work * pace / at_once


def offer(what: str, trainings: int, seconds: float) -> str:
    """One line on what ``--full`` would add."""
    taking = "" if seconds != seconds else f" in about {duration(seconds)}"
    return f"--full would add {what}: {plural(trainings, 'training')}{taking}"
