"""Widths for any budget, from the table of damages that a run keeps: nothing is measured again.

>>> solved = solve(run, 0.3)
>>> solved.policy, solved.flops, solved.damage, solved.uniform_damage
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from results import codec
from results.data import RunData
from results.sensitivity import SensitivityRecord
from results.text import some
from spaces import Budget, Policy, UserError

SENSITIVITY = "repaired_damage"
"""Its damages may be added up, and are known at every width."""

Terms = dict[str, np.ndarray]
"""Group name → ``(choices,)``: the damage at each width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The widths of the least sum of damages within a budget, widened by what still fits.

    Attributes:
        budget: as text.
        limit: the most flops it allows.
        flops, params: of the policy; the fractions are of the unpruned network's.
        damage: the sum over groups, in the unit of the sensitivity.
        gap: how far that may be above the least possible sum, as a share of it: 0 where it is
            proven to be the least, inf where nothing is proven.
        uniform: uniform widths at the same budget, with their own figures.
    """

    budget: str
    limit: int
    policy: Policy
    flops: int
    flops_fraction: float
    params: int
    params_fraction: float
    damage: float
    gap: float
    uniform: Policy
    uniform_flops: int
    uniform_params: int
    uniform_damage: float

    @property
    def proven(self) -> bool:
        """Whether no widths within the budget have a lower sum."""
        return self.gap == 0

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types; ``gap`` is ``None`` where nothing is proven."""
        gap = self.gap if math.isfinite(self.gap) else None
        return {**codec.plain(self), "gap": gap, "proven": self.proven}


def solve(run: RunData, budget: Budget | float | str) -> Solved:
    """The widths of the least sum of `SENSITIVITY` over all groups within a budget.

    Args:
        budget: the most flops to keep, as a fraction of the unpruned network's or absolute.

    Raises:
        BudgetError: the budget cannot be reached.
        UserError: the run does not keep the damages, or what widths cost.
    """
    terms, space, budget = _terms(run), run.space.as_space(), Budget.parse(budget)
    solution = space.solve_and_fill(terms, budget)
    policy, uniform = space.policy(solution.widths), space.uniform(budget)
    flops, params = space.flops(policy), space.params(policy)
    return Solved(
        budget=str(budget),
        limit=space.limit(budget),
        policy=policy,
        flops=flops,
        flops_fraction=flops / space.full_flops,
        params=params,
        params_fraction=params / space.full_params,
        damage=solution.total,
        gap=solution.gap,
        uniform=uniform,
        uniform_flops=space.flops(uniform),
        uniform_params=space.params(uniform),
        uniform_damage=space.total(terms, uniform),
    )


def check_solvable(run: RunData) -> None:
    """Refuse a run that does not keep what `solve` needs, whatever the budget.

    Raises:
        UserError: one line that says what to do.
    """
    names = list(dict.fromkeys(r.sensitivity for r in run.measured))
    if SENSITIVITY not in names:
        raise UserError(
            f"{run.folder} must hold the damages of {SENSITIVITY}, but holds "
            f"{f'those of {some(names, 3)}' if names else 'none'}; search again with --starts "
            f"{SENSITIVITY}"
        )
    if not run.space.groups:
        raise UserError(
            f"{run.folder} must hold what every width costs, but runs of older versions do not; "
            "search again, under another --name"
        )


def solved_json(run: RunData, solved: list[Solved]) -> dict[str, Any]:
    """What ``search.py solve --json`` prints: the network, then one object for each budget."""
    space = run.space.as_space()
    return {
        "run": str(run.folder),
        "sensitivity": SENSITIVITY,
        "unit": _table(run)[run.space.groups[0].name].unit,
        "channels": dict(space.full),
        "flops": space.full_flops,
        "params": space.full_params,
        "solved": [each.to_dict() for each in solved],
    }


def _terms(run: RunData) -> Terms:
    check_solvable(run)
    table, terms = _table(run), {}
    for group in run.space.groups:
        record = table.get(group.name)
        if record is None or record.widths != group.choices[:-1]:
            raise UserError(
                f"{run.folder} must hold the damage of every width of group {group.name!r}, but "
                "does not; search again, under another --name"
            )
        terms[group.name] = np.array([*record.damages, 0.0])  # the whole group does none
    return terms


def _table(run: RunData) -> dict[str, SensitivityRecord]:
    return {r.group: r for r in run.measured if r.sensitivity == SENSITIVITY}
