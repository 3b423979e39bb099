"""The policies every search tries first: what a person would try without a search.

Whatever a search finds has to beat them, and a sampler learns from them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prune_ops import CRITERIA, SENSITIVITIES, Scores, normalised
from prune_ops.sensitivities.repaired_damage import terms
from results.text import plural
from search.config import SearchConfig
from search.policies.parameters import CRITERION
from search.policies.surrogate import TABLE
from spaces import Budget, Policy, Space

POOL = 6
"""Policies solved from a damage table."""
POWERS, SPREAD = (1.0, 0.75, 0.5), 0.5
"""Of the damages; and the standard deviation of the logarithm of random factors."""
APART = 0.08
"""The mean over groups of how much the logarithms of two policies' widths differ, at least."""


UNIFORM = "uniform"
"""The origin of uniform widths."""


@dataclass(frozen=True, slots=True)
class Start:
    """A policy to try, the budget it meets and where it comes from.

    Attributes:
        criterion: chooses the channels; empty for the run's own.
    """

    policy: Policy
    budget: Budget
    origin: str
    criterion: str = ""

    @property
    def params(self) -> dict[str, Any]:
        """As Optuna parameters; see ``search.policies.sampler.parameters``."""
        return {**self.policy} | ({CRITERION: self.criterion} if self.criterion else {})


AllScores = Mapping[str, Scores]
"""Of criteria every channel's score, of sensitivities every group's damages, under their names."""

MakeStarts = Callable[[AllScores], Sequence[Start]]
"""The policies to try first, from the scores."""


def starts(
    space: Space,
    scores: AllScores,
    budgets: Sequence[Budget],
    criteria: Sequence[str] = (),
    pool: int = POOL,
) -> list[Start]:
    """The distinct starts at every budget, uniform widths of all budgets first.

    >>> [start.origin for start in starts(space, scores, [Budget.parse("0.5")])]
    ['uniform', 'l1', 'second_order']

    A criterion gives the policy that keeps the best channels of the whole network; a sensitivity
    sets widths by itself, and ``repaired_damage`` a pool of them (`solved`).

    Args:
        criteria: those that are searched, if any. Uniform widths are then tried under each of
            them, and a ranking under its own criterion, or under all if that is not searched.
        pool: how many policies are solved from the damage table, at each budget.
    """
    distinct: dict[tuple[Policy, str], Start] = {}
    for budget in budgets:
        policies = [(UNIFORM, space.uniform(budget))]
        policies += [(name, _policy(name, space, s, budget)) for name, s in scores.items()]
        if TABLE in scores:
            table = terms(space, scores[TABLE])
            policies += [(TABLE, policy) for policy in solved(space, table, budget, pool)]
        for origin, policy in policies:
            for criterion in [origin] if origin in criteria else criteria or [""]:
                start = Start(policy, budget, origin, criterion)
                distinct.setdefault((policy, criterion), start)
    return sorted(distinct.values(), key=lambda start: start.origin != UNIFORM)


def solved(
    space: Space, table: Mapping[str, np.ndarray], budget: Budget, count: int = POOL
) -> list[Policy]:
    """Up to ``count`` different policies that a damage table may mean, the most literal first.

    Each is of the least sum, within the budget, of damages to a power, and then of those times
    random factors of the groups: large damages may weigh more or less than the table says, as a sum
    knows nothing of what two cuts do to each other. Any two differ by at least `APART`.

    Args:
        table: group name → ``(choices,)``.
    """
    rng, found = np.random.default_rng(0), list[np.ndarray]()
    for draw in range(4 * count):
        power = POWERS[draw % len(POWERS)]
        spread = SPREAD if draw >= len(POWERS) else 0.0
        drawn = {
            name: rng.lognormal(0.0, spread) * np.maximum(damages, 0.0) ** power
            for name, damages in table.items()
        }
        widths = space.project(space.solve(drawn, budget).widths, budget)
        if all(np.abs(np.log(widths / other)).mean() >= APART for other in found):
            found.append(widths)
        if len(found) == count:
            break
    return [space.policy(widths) for widths in found]


def start_budget_warning(starts: int, config: SearchConfig) -> str:
    """One line if starts leave the sampler less than a third of the trials; else empty.

    >>> start_budget_warning(30, SearchConfig.of(trials=40))
    '40 trials are few: 30 policies are to be tried first (--starts), so --sampler surrogate
    proposes 10; give more --trials or fewer --starts'
    """
    trials = config.policies.trials
    left, over = max(0, trials - starts), max(0, starts - trials)
    if 3 * left >= trials:
        return ""
    few = f"{plural(trials, 'trial')} {_be(trials)} {'few' if left else 'too few'}"
    first = f"{starts} {'policy' if starts == 1 else 'policies'} {_be(starts)} to be tried first"
    untried = f"{over} of these {_be(over)} left out and " if over else ""
    fewer = "--criteria or --starts" if config.searched else "--starts"
    return (
        f"{few}: {first} (--starts), so {untried}--sampler {config.policies.sampler} proposes "
        f"{left or 'none'}; give more --trials or fewer {fewer}"
    )


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _policy(name: str, space: Space, scores: Scores, budget: Budget) -> Policy:
    if name in SENSITIVITIES:
        return SENSITIVITIES[name].policy(space, scores, budget)
    return global_ranking(space, scores, budget, name)


def global_ranking(space: Space, scores: Scores, budget: Budget, criterion: str) -> Policy:
    """The policy that keeps every channel above the lowest threshold that meets the budget.

    Scores in one unit (``criterion.comparable``) are ranked as they are; others are divided by
    their group's mean first, because raw norms are not comparable across layers.
    """
    scores = scores if CRITERIA[criterion].comparable else normalised(scores)
    ranked = {name: values.double().numpy() for name, values in scores.items()}
    thresholds = np.unique(np.concatenate([ranked[g.name] for g in space.groups]))

    def meets(threshold: float) -> bool:
        return bool(space.meets(_above(space, ranked, threshold), budget))

    lowest = bisect_left(thresholds, True, hi=len(thresholds) - 1, key=meets)
    return space.policy(space.project(_above(space, ranked, thresholds[lowest]), budget))


def _above(space: Space, scores: Mapping[str, np.ndarray], threshold: float) -> np.ndarray:
    """Widths ``(G,)`` of the channels that score at least ``threshold``; no group goes empty."""
    kept = [int((scores[g.name] >= threshold).sum()) for g in space.groups]
    return np.maximum(kept, [g.choices[0] for g in space.groups])
