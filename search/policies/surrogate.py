"""surrogate: the widths that are best under what the model of all trials believes.

`search.policies.additive` models what a policy loses as a sum of one term for each group's width.
A proposal draws all terms from the posterior and takes the widths of their least sum within the
budget, exactly (`Space.solve`). So what is uncertain is tried as often as it may be best (Thompson
1933), parallel trials propose different things, and several budgets share what is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from results.record import TrialRecord
from results.store import RECORD
from search.policies.additive import Judged, Posterior, Prior, Terms, falling, fitted
from search.policies.parameters import CRITERION, budget_of
from spaces import Budget, Policy, Space

TABLE = "repaired_damage"
"""The sensitivity whose table it begins with."""
LEAST = 4
"""Judged trials from which on the model is fitted; before, proposals come from its prior."""
BOLDNESS = 0.5
"""Of the draws: whole ones would spend most of a hundred trials on what is merely unknown."""
DRAWS = 20
"""Draws until one gives a policy that was not proposed yet."""
BOLDER = 1.15
"""Each of them is so many times as bold as the one before: what is certain gives the same again."""
JUDGED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass(frozen=True)
class Tables:
    """What the sampler knows of a run before its first trial.

    Attributes:
        damages: group name → ``(choices,)``: the damage of each width.
        budgets: each has its turn, see `budget_of`.
        rank_by: the proxy that judges at rung 0.
        criteria: those that are searched along with the widths, if any.
        turns: as in `budget_of`.
    """

    space: Space
    damages: Mapping[str, np.ndarray]
    budgets: Sequence[Budget]
    rank_by: str
    criteria: Sequence[str] = ()
    turns: Sequence[tuple[int, int]] = ()


class SurrogateSampler(RandomSampler):
    """Proposes the best widths under one draw of the posterior; see the module.

    Trials that are under way count with the rungs that they have been judged at. A policy that was
    proposed already is not proposed again: then another draw decides.
    """

    def __init__(self, tables: Tables, seed: int) -> None:
        super().__init__(seed)
        self._tables, self._seed = tables, seed
        self._terms = Terms.of(tables.space, tables.damages, tables.budgets[0])

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False, states=JUDGED)
        told = [t.user_attrs[RECORD] for t in trials if RECORD in t.user_attrs]
        posterior = self._posterior(self._judged([TrialRecord.from_json(text) for text in told]))
        criteria, rng = self._tables.criteria, np.random.default_rng(self._seed)
        budget = budget_of(trial.number, self._tables.budgets, self._tables.turns)
        proposed = [t.params for t in trials]
        for draw in range(DRAWS):
            boldness = BOLDNESS * BOLDER**draw
            terms, gains = posterior.drawn(rng, max(len(criteria), 1), boldness)
            chosen: dict[str, Any] = {**self._solved(terms, budget)}
            if criteria:
                chosen[CRITERION] = criteria[int(gains.argmax())]
            if chosen not in proposed:
                break
        return {name: value for name, value in chosen.items() if name in search_space}

    def _posterior(self, judged: Judged) -> Posterior:
        if (judged.kind == 0).sum() < LEAST:  # too few to tell how much scores differ
            return Posterior(self._terms, judged.first(0), Prior())
        return Posterior(self._terms, judged, fitted(self._terms, judged))

    def _solved(self, terms: np.ndarray, budget: Budget) -> Policy:
        space = self._tables.space
        by_group = zip(space.groups, self._terms.by_group(terms), strict=True)
        solution = space.solve({g.name: falling(own) for g, own in by_group}, budget)
        return space.policy(space.project(solution.widths, budget))

    def _judged(self, records: Sequence[TrialRecord]) -> Judged:
        """Every score of every record, each kind standardised over its own."""
        space, criteria, rank_by = self._tables.space, self._tables.criteria, self._tables.rank_by
        rows = [
            (record, kind, score)
            for record in records
            for kind, score in enumerate((record.proxies.get(rank_by, np.nan), *record.accuracy))
            if np.isfinite(score)
        ]
        kind = np.array([kind for _, kind, _ in rows], dtype=int)
        scores = np.array([score for _, _, score in rows], dtype=float)
        for each in np.unique(kind):
            scores[kind == each] = _standardised(scores[kind == each])
        criterion = [
            criteria.index(record.criterion) if record.criterion in criteria else 0
            for record, _, _ in rows
        ]
        places = self._terms.places(space, [record.policy for record, _, _ in rows])
        return Judged(places, scores, kind, np.array(criterion, dtype=int))


def _standardised(scores: np.ndarray) -> np.ndarray:
    spread = scores.std()
    return (scores - scores.mean()) / (spread if spread > 0 else 1.0)
