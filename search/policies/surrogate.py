"""surrogate: a Bayesian additive model of what widths cost, minimised exactly under the budget.

What a policy loses is modelled as a sum of one term for each group's width, and every trial that
was judged tells something of the terms of its widths. A proposal draws all terms from the posterior
and takes the widths of their least sum within the budget (`Space.solve`), so that what is uncertain
is tried as often as it may be best (Thompson 1933), parallel trials propose different things, and
several budgets share what is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from results.record import TrialRecord
from results.store import RECORD
from search.policies.parameters import CRITERION, budget_of
from spaces import Budget, Policy, Space

SURROGATE = "surrogate"
"""Its name."""
TABLE = "repaired_damage"
"""The sensitivity whose table it begins with."""
LEAST = 4
"""Judged trials from which on the model is fitted; before, proposals come from its prior."""
SMOOTHNESS = 0.7
"""Over such a difference of log width the terms of a group are alike."""
LEVEL, OTHERS = 2.0, 0.5
"""Standard deviations of the level of each kind of score, and of what a criterion gains."""
JITTER = 1e-9
BOLDNESS = 0.5
"""Of the draws: whole ones would spend most of a hundred trials on what is merely unknown."""
DRAWS = 20
"""Draws until one gives a policy that was not proposed yet."""
JUDGED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass(frozen=True)
class Terms:
    """All terms: one for each width of each group, N in all, and the model's features of them.

    Attributes:
        first: ``(G + 1,)``: where each group's begin.
        damage: ``(N,)``: the damage table, as a share of what uniform widths do at the budget.
        similarity: for each group ``(choices, choices)``: how alike the terms of its widths are
            beyond what the table says; the whole group's is 0.
    """

    first: np.ndarray
    damage: np.ndarray
    similarity: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, space: Space, damages: Mapping[str, np.ndarray], budget: Budget) -> Terms:
        """From the damages of every width of each group, ``(choices,)``."""
        groups = space.groups
        uniform = space.uniform(budget)
        whole = sum(float(damages[g.name][g.choices.index(uniform[g.name])]) for g in groups)
        scale = whole if whole > 0 else 1.0
        return cls(
            np.cumsum([0, *(len(g.choices) for g in groups)]),
            np.concatenate([np.asarray(damages[g.name], float) / scale for g in groups]),
            tuple(_similarity(np.log(np.array(g.choices) / g.channels)) for g in groups),
        )

    @property
    def count(self) -> int:
        """N."""
        return int(self.first[-1])

    def places(self, space: Space, policies: Sequence[Mapping[str, int]]) -> np.ndarray:
        """``(n, G)``: where the terms of each policy's widths are."""
        index = [{w: k for k, w in enumerate(group.choices)} for group in space.groups]
        return np.array(
            [
                [
                    self.first[g] + index[g][policy[group.name]]
                    for g, group in enumerate(space.groups)
                ]
                for policy in policies
            ],
            dtype=int,
        ).reshape(len(policies), len(space.groups))


def _similarity(x: np.ndarray) -> np.ndarray:
    """A Gaussian kernel over log width, of functions that are 0 where nothing is cut."""
    kernel = np.exp(-0.5 * (x[:, None] - x) ** 2 / SMOOTHNESS**2)
    at_zero = np.exp(-0.5 * x**2 / SMOOTHNESS**2)
    return np.asarray(kernel - np.outer(at_zero, at_zero))


@dataclass(frozen=True)
class Prior:
    """Standard deviations, in those of the scores.

    Attributes:
        shared: of the factor that the whole table has; its mean is 1.
        own: of each group's own factor.
        smooth: of what a group's terms have beyond the table.
        noise: of a score, and of what the sum misses.
        trained: what training adds to the terms, as a share of the three above.
        trained_noise: as ``noise``, of accuracies after training.
    """

    shared: float = 1.0
    own: float = 0.7
    smooth: float = 0.3
    noise: float = 0.3
    trained: float = 0.5
    trained_noise: float = 0.4

    @property
    def logs(self) -> np.ndarray:
        return np.log([getattr(self, name) for name in Prior.__dataclass_fields__])

    @classmethod
    def from_logs(cls, logs: np.ndarray) -> Prior:
        return cls(*np.exp(logs).tolist())


@dataclass(frozen=True)
class Judged:
    """Scores of policies, standardised, higher = better.

    Attributes:
        places: ``(n, G)``: as `Terms.places`.
        scores: ``(n,)``.
        kind: ``(n,)``: 0 for a proxy, above for the accuracy at that rung.
        others: ``(n,)``: the criterion's place among those searched; 0 where none is.
    """

    places: np.ndarray
    scores: np.ndarray
    kind: np.ndarray
    others: np.ndarray

    @property
    def trained(self) -> np.ndarray:
        """``(n,)``: whether the score is of a trained network."""
        return np.asarray(self.kind > 0)

    def first(self, count: int) -> Judged:
        """The first so many."""
        parts = (self.places, self.scores, self.kind, self.others)
        return Judged(*(part[:count] for part in parts))


class Posterior:
    """Of all terms given what was judged; a Gaussian process over additive functions of widths."""

    def __init__(self, terms: Terms, judged: Judged, prior: Prior) -> None:
        self._terms, self._judged, self._prior = terms, judged, prior
        parts = _Parts.of(terms, judged)
        covariance = parts.covariance(prior)
        self._factor = cholesky(covariance, lower=True)
        self._residual = judged.scores + terms.damage[judged.places].sum(1)
        self._parts = parts

    def drawn(
        self, rng: np.random.Generator, count: int = 1, boldness: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """``(N,)`` terms after training, lower = better, and ``(criteria,)`` gains, as one draw.

        By Matheron's rule: a draw of the prior, corrected by what it misses of the scores.

        Args:
            boldness: factor of a draw's distance from the posterior's mean.
        """
        prior, judged, terms = self._prior, self._judged, self._terms
        base, more = _drawn_terms(terms, prior, rng), _drawn_terms(terms, prior, rng)
        more *= prior.trained
        gains = rng.normal(0.0, OTHERS, count)
        levels = rng.normal(0.0, LEVEL, int(judged.kind.max(initial=0)) + 1)
        noise = np.where(judged.trained, prior.trained_noise, prior.noise)
        seen = -(base[judged.places].sum(1) + judged.trained * more[judged.places].sum(1))
        seen += levels[judged.kind] + gains[judged.others]
        seen += noise * rng.standard_normal(len(noise))
        weights = cho_solve((self._factor, True), self._residual - boldness * seen)
        terms_drawn = terms.damage + boldness * (base + more) - self._spread(weights)
        own = np.bincount(judged.others, weights, minlength=count) * OTHERS**2
        return terms_drawn, boldness * gains + own

    def _spread(self, weights: np.ndarray) -> np.ndarray:
        """``(N,)``: the covariance of the trained terms with the scores, times weights."""
        prior, judged, terms = self._prior, self._judged, self._terms
        both = weights * (1.0 + prior.trained**2 * judged.trained)
        per_term = np.zeros(terms.count)
        np.add.at(per_term, judged.places, both[:, None])
        shared = terms.damage * (terms.damage @ per_term) * prior.shared**2
        spread = [
            prior.own**2 * own * (own @ weight) + prior.smooth**2 * (similarity @ weight)
            for own, weight, similarity in zip(
                _split(terms, terms.damage), _split(terms, per_term), terms.similarity, strict=True
            )
        ]
        return np.asarray(shared + np.concatenate(spread))


@dataclass(frozen=True)
class _Parts:
    """The covariances of the scores, ``(n, n)`` each, for unit standard deviations."""

    shared: np.ndarray
    own: np.ndarray
    smooth: np.ndarray
    fixed: np.ndarray
    trained: np.ndarray

    @classmethod
    def of(cls, terms: Terms, judged: Judged) -> _Parts:
        damage = terms.damage[judged.places]
        total = damage.sum(1)
        smooth = sum(
            block[np.ix_(at, at)]
            for block, at in zip(
                terms.similarity, (judged.places - terms.first[:-1]).T, strict=True
            )
        )
        kinds = judged.kind[:, None] == judged.kind
        others = judged.others[:, None] == judged.others
        return cls(
            np.outer(total, total),
            damage @ damage.T,
            np.asarray(smooth),
            LEVEL**2 * kinds + OTHERS**2 * others,
            np.asarray(judged.trained, float),
        )

    def covariance(self, prior: Prior) -> np.ndarray:
        functions = (
            prior.shared**2 * self.shared + prior.own**2 * self.own + prior.smooth**2 * self.smooth
        )
        both = np.outer(self.trained, self.trained)
        noise = np.where(self.trained > 0, prior.trained_noise, prior.noise) ** 2
        total = functions * (1.0 + prior.trained**2 * both) + self.fixed
        return np.asarray(total + np.diag(noise + JITTER))


def fitted(terms: Terms, judged: Judged, start: Prior = Prior()) -> Prior:
    """The standard deviations of the highest evidence, held to ``start`` by a factor of e or so."""
    parts = _Parts.of(terms, judged)
    residual = judged.scores + terms.damage[judged.places].sum(1)

    def cost(logs: np.ndarray) -> float:
        factor = cholesky(parts.covariance(Prior.from_logs(logs)), lower=True)
        white = solve_triangular(factor, residual, lower=True)
        evidence = -0.5 * white @ white - np.log(factor.diagonal()).sum()
        return float(0.5 * ((logs - start.logs) ** 2).sum() - evidence)

    bounds = [(at - 4.0, at + 4.0) for at in start.logs]
    found = minimize(cost, start.logs, method="L-BFGS-B", bounds=bounds, options={"maxiter": 30})
    return Prior.from_logs(found.x)


def _drawn_terms(terms: Terms, prior: Prior, rng: np.random.Generator) -> np.ndarray:
    """``(N,)``: one draw of the prior, without its mean."""
    drawn = []
    shared = prior.shared * rng.standard_normal()
    for damage, similarity in zip(_split(terms, terms.damage), terms.similarity, strict=True):
        root = cholesky(similarity + 1e-6 * np.eye(len(similarity)), lower=True)
        own = prior.own * rng.standard_normal()
        smooth = prior.smooth * root @ rng.standard_normal(len(root))
        drawn.append((shared + own) * damage + smooth)
    return np.concatenate(drawn)


def _split(terms: Terms, values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, terms.first[1:-1])


def falling(values: np.ndarray) -> np.ndarray:
    """The values by width, ascending, made so that no wider one costs more: least squares' own."""
    # Pool adjacent violators, from the widest down.
    pools: list[list[float]] = []
    for value in values[::-1]:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (above, n), (below, m) = pools[-2:]
            pools[-2:] = [[(above * n + below * m) / (n + m), n + m]]
    return np.array([mean for mean, n in pools for _ in range(int(n))])[::-1]


@dataclass(frozen=True)
class Tables:
    """What the sampler knows of a run before its first trial.

    Attributes:
        damages: group name → ``(choices,)``: the damage of each width.
        budgets: trial n has budget n mod their number.
        rank_by: the proxy that judges at rung 0.
        criteria: those that are searched along with the widths, if any.
    """

    space: Space
    damages: Mapping[str, np.ndarray]
    budgets: Sequence[Budget]
    rank_by: str
    criteria: Sequence[str] = ()


class SurrogateSampler(BaseSampler):
    """Proposes the best widths under one draw of the posterior; see the module.

    Trials that are under way count with the rungs that they have been judged at. A policy that was
    proposed already is not proposed again: then another draw decides.
    """

    def __init__(self, tables: Tables, seed: int) -> None:
        self._tables, self._seed = tables, seed
        self._terms = Terms.of(tables.space, tables.damages, tables.budgets[0])

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}  # `BudgetSampler` has it

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False, states=JUDGED)
        told = [t.user_attrs[RECORD] for t in trials if RECORD in t.user_attrs]
        posterior = self._posterior(self._judged([TrialRecord.from_json(text) for text in told]))
        criteria, rng = self._tables.criteria, np.random.default_rng(self._seed)
        budget = budget_of(trial.number, self._tables.budgets)
        proposed = [t.params for t in trials]
        for _ in range(DRAWS):
            terms, gains = posterior.drawn(rng, max(len(criteria), 1), BOLDNESS)
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
        by_group = zip(space.groups, _split(self._terms, terms), strict=True)
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
        others = [criteria.index(r.criterion) if r.criterion in criteria else 0 for r, _, _ in rows]
        places = self._terms.places(space, [record.policy for record, _, _ in rows])
        return Judged(places, scores, kind, np.array(others, dtype=int))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Never asked by `BudgetSampler`, which proposes all parameters together."""
        raise NotImplementedError


def _standardised(scores: np.ndarray) -> np.ndarray:
    spread = scores.std()
    return (scores - scores.mean()) / (spread if spread > 0 else 1.0)
