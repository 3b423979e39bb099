"""What is searched, as Optuna parameters: the width of each group, maybe the criterion."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from spaces import Budget, Space
from spaces.errors import ModelError

CRITERION = "criterion"
"""Name of the parameter for the criterion, where that is searched."""


def distributions(space: Space) -> dict[str, IntDistribution]:
    """The widths as Optuna parameters: an integer for each group, under the group's name."""
    return {g.name: IntDistribution(g.choices[0], g.choices[-1]) for g in space.groups}


def parameters(space: Space, criteria: Sequence[str]) -> dict[str, BaseDistribution]:
    """The whole search space: the widths and, if any criteria are given, one of them.

    Raises:
        ModelError: a group has the name that the criterion takes.
    """
    widths = distributions(space)
    if not criteria:
        return {**widths}
    if CRITERION in widths:
        raise ModelError(
            f"--criterion search needs the name {CRITERION!r} for itself, but a module of the "
            "model has it; rename that module, or give one criterion"
        )
    return {**widths, CRITERION: CategoricalDistribution(criteria)}


def budget_of(
    number: int, budgets: Sequence[Budget], turns: Sequence[tuple[int, int]] = ()
) -> Budget:
    """That of a trial: of several budgets each has its turn.

    Args:
        turns: before which trial there were how many budgets, where the run was extended. Further
            ones have all turns until they have as many trials as each of the others had.
    """
    known = len(budgets)
    for began, before in reversed(turns):
        if number >= began:
            further = known - before
            if number < began + began * further // before:
                return budgets[before + (number - began) % further]
            break
        known = before
    return budgets[number % known]
