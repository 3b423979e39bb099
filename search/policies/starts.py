"""The policies every search tries first: what a person would try without a search.

Uniform widths, one ranking of all channels against each other for every criterion, and the widths
that importances set. Whatever a search finds has to beat them, and a sampler learns from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prune_ops import CRITERIA, SENSITIVITIES, Scores, normalised
from results.text import plural
from search.config import SearchConfig
from search.policies.sampler import CRITERION
from spaces import Budget, Policy, Space


@dataclass(frozen=True, slots=True)
class Start:
    """A policy to try, the budget it meets and where it comes from.

    Attributes:
        criterion: who says which channels stay; empty for the run's own.
    """

    policy: Policy
    budget: Budget
    origin: str
    criterion: str = ""

    @property
    def params(self) -> dict[str, Any]:
        """As Optuna knows them; see ``search.policies.sampler.distributions``."""
        return {**self.policy} | ({CRITERION: self.criterion} if self.criterion else {})


def starts(
    space: Space,
    scores: Mapping[str, Scores],
    budgets: Sequence[Budget],
    criteria: Sequence[str] = (),
) -> list[Start]:
    """The starts at every budget, each once, uniform widths first.

    >>> [start.origin for start in starts(space, scores, [Budget.parse("0.5")])]
    ['uniform', 'l1', 'second_order']

    A criterion gives the policy that keeps the best channels of the whole network. Scores in one
    unit (``criterion.comparable``) are ranked as they are; the others are divided by their group's
    mean first, because raw norms say nothing across layers. An importance sets widths by itself.

    Args:
        criteria: those that are searched, if any. Uniform widths are then tried under each of
            them, and a ranking under its own criterion, or under all if that is not searched.
    """
    found: dict[tuple[Policy, str], Start] = {}
    for budget in budgets:
        policies = {"uniform": space.uniform(budget)}
        policies |= {name: _by(name, space, s, budget) for name, s in scores.items()}
        for origin, policy in policies.items():
            for criterion in [origin] if origin in criteria else criteria or [""]:
                start = Start(policy, budget, origin, criterion)
                found.setdefault((policy, criterion), start)
    return list(found.values())


def start_budget_warning(starts: int, config: SearchConfig) -> str:
    """One line for who should know that starts take most of the trials; empty where they do not.

    >>> start_budget_warning(30, SearchConfig.of(trials=40))
    '30 starts leave tpe 10 of 40 trials; give more --trials or fewer --starts'
    """
    trials = config.policies.trials
    left = max(0, trials - starts)
    if 3 * left >= trials:
        return ""
    untried = f", and {starts - trials} of them are not tried" if starts > trials else ""
    fewer = "--criteria or --starts" if config.searched else "--starts"
    return (
        f"{plural(starts, 'start')} leave {config.policies.sampler} {left} of "
        f"{plural(trials, 'trial')}{untried}; give more --trials or fewer {fewer}"
    )


def _by(name: str, space: Space, found: Scores, budget: Budget) -> Policy:
    if name in SENSITIVITIES:
        return SENSITIVITIES[name].policy(space, found, budget)
    return global_ranking(space, found, budget, name)


def global_ranking(space: Space, scores: Scores, budget: Budget, criterion: str) -> Policy:
    """The policy that keeps every channel above one threshold, set so that the budget is met."""
    scores = scores if CRITERIA[criterion].comparable else normalised(scores)
    ranked = {name: values.double().numpy() for name, values in scores.items()}
    every = np.unique(np.concatenate([ranked[g.name] for g in space.groups]))
    limit = budget.limit(space.full_flops)
    low, high = 0, len(every) - 1
    while low < high:
        middle = (low + high) // 2
        if space.flops(_above(space, ranked, every[middle])) <= limit:
            high = middle
        else:
            low = middle + 1
    return space.policy(space.project(_above(space, ranked, every[low]), budget))


def _above(space: Space, scores: Mapping[str, np.ndarray], threshold: float) -> np.ndarray:
    """Widths ``(G,)`` of the channels that score at least ``threshold``; no group goes empty."""
    kept = [int((scores[g.name] >= threshold).sum()) for g in space.groups]
    return np.maximum(kept, [g.choices[0] for g in space.groups])
