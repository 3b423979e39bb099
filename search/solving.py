"""``python search.py solve``: its options, and the command that trains what it found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from results import Run
from results.solving import SENSITIVITY
from results.store import plain_errors, write_text
from search.config import PolicyConfig, SearchConfig
from search.options import check_plain, shown
from spaces import Policy, UserError

AGAIN = "solve again"


def read_budgets(given: Sequence[str], save: str | None) -> tuple[str, ...]:
    """The budgets that were given; ``save`` is the file for the policy of one.

    Raises:
        UserError: not a budget, one twice, or several for one file.
    """
    budgets = PolicyConfig.of(budget=list(given)).budget
    if save is None:
        return budgets
    if not save:
        raise UserError("--save must name a file, but got ''; leave it out")
    check_plain("--save", save)
    if len(budgets) > 1:
        raise UserError(
            f"--save takes the policy of one budget, but got {shown(budgets)}; give one, or --json"
        )
    return budgets


def save_policy(policy: Policy, path: str) -> None:
    """Write the policy as `Policy.from_json` reads it.

    Raises:
        UserError: the file cannot be written.
    """
    with plain_errors(path, AGAIN):
        if Path(path).is_dir():
            raise UserError(f"--save must name a file, but {path} is a folder")
    write_text(Path(path), policy.to_json() + "\n", AGAIN)


def training_command(run: Run, budgets: Sequence[str]) -> str:
    """The search that tries these widths and uniform ones and trains both, with the run's options.

    Empty where these are not known, as of a task that was made in Python.
    """
    if not run.provenance.command:
        return ""
    try:
        config = SearchConfig.from_dict(run.provenance.config)
        trials = 2 * len(budgets) * max(1, len(config.searched))
        changes = {"starts": (SENSITIVITY,), "trials": trials, "criteria": config.searched}
        return config.having(budget=tuple(budgets), **changes).command
    except (UserError, TypeError, AttributeError):  # of another version
        return ""
