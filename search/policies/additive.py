"""An additive Gaussian model: one term for the width of each group, learnt from judged policies.

A policy's score is a level, less the sum of the terms of its widths, plus noise. The terms' prior
mean is a damage table; they differ from it by a factor that the whole table has, one that each
group has, and a smooth function of each group's width. Training adds to the terms another draw of
the same kind, so that scores before and after training share what they have in common. It is a
Gaussian process over additive functions (Duvenaud et al., Additive Gaussian Processes, NeurIPS
2011) with Kennedy and O'Hagan's two levels of fidelity (Biometrika, 2000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from spaces import Budget, Space

SMOOTHNESS = 0.7
"""Over such a difference of log width the terms of a group are alike."""
LEVEL, BETTER = 2.0, 0.5
"""Standard deviations of the level of each kind of score, and of how much better a criterion is."""
JITTER = 1e-9


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

    def by_group(self, values: np.ndarray) -> list[np.ndarray]:
        """``(N,)`` values as one array a group."""
        return np.split(values, self.first[1:-1])

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
        criterion: ``(n,)``: its place among those searched; 0 where none is.
    """

    places: np.ndarray
    scores: np.ndarray
    kind: np.ndarray
    criterion: np.ndarray

    @property
    def trained(self) -> np.ndarray:
        """``(n,)``: whether the score is of a trained network."""
        return np.asarray(self.kind > 0)

    def first(self, count: int) -> Judged:
        """The first so many."""
        parts = (self.places, self.scores, self.kind, self.criterion)
        return Judged(*(part[:count] for part in parts))


class Posterior:
    """Of all terms given what was judged; a Gaussian process over additive functions of widths."""

    def __init__(self, terms: Terms, judged: Judged, prior: Prior) -> None:
        self._terms, self._judged, self._prior = terms, judged, prior
        covariance = _Parts.of(terms, judged).covariance(prior)
        self._factor = cholesky(covariance, lower=True)
        self._residual = judged.scores + terms.damage[judged.places].sum(1)

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
        gains = rng.normal(0.0, BETTER, count)
        levels = rng.normal(0.0, LEVEL, int(judged.kind.max(initial=0)) + 1)
        noise = np.where(judged.trained, prior.trained_noise, prior.noise)
        seen = -(base[judged.places].sum(1) + judged.trained * more[judged.places].sum(1))
        seen += levels[judged.kind] + gains[judged.criterion]
        seen += noise * rng.standard_normal(len(noise))
        weights = cho_solve((self._factor, True), self._residual - boldness * seen)
        terms_drawn = terms.damage + boldness * (base + more) - self._spread(weights)
        own = np.bincount(judged.criterion, weights, minlength=count) * BETTER**2
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
                terms.by_group(terms.damage),
                terms.by_group(per_term),
                terms.similarity,
                strict=True,
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
        criteria = judged.criterion[:, None] == judged.criterion
        return cls(
            np.outer(total, total),
            damage @ damage.T,
            np.asarray(smooth),
            LEVEL**2 * kinds + BETTER**2 * criteria,
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
    for damage, similarity in zip(terms.by_group(terms.damage), terms.similarity, strict=True):
        root = cholesky(similarity + 1e-6 * np.eye(len(similarity)), lower=True)
        own = prior.own * rng.standard_normal()
        smooth = prior.smooth * root @ rng.standard_normal(len(root))
        drawn.append((shared + own) * damage + smooth)
    return np.concatenate(drawn)


def falling(values: np.ndarray) -> np.ndarray:
    """Values by ascending width, made so that no wider one costs more.

    The nearest such values in least squares, by pooling adjacent violators from the widest down.
    """
    pools: list[list[float]] = []
    for value in values[::-1]:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (above, n), (below, m) = pools[-2:]
            pools[-2:] = [[(above * n + below * m) / (n + m), n + m]]
    return np.array([mean for mean, n in pools for _ in range(int(n))])[::-1]
