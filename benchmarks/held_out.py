"""What the surrogate's model foretells of a policy whose training it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from results import TrialRecord
from search.policies.additive import Judged, Posterior, Terms, fitted
from spaces import Budget, Space


def foretold(
    space: Space,
    damages: Mapping[str, np.ndarray],
    budget: Budget,
    records: Sequence[TrialRecord],
    proxy: str | None,
    folds: int = 11,
    seed: int = 0,
) -> np.ndarray:
    """``(n,)``: how good each policy is, by a model of the accuracies of those in other folds.

    Args:
        damages: the table of ``repaired_damage``: group name → ``(choices,)``.
        proxy: whose scores the model sees too, of all policies, as a search has them; None for
            trained accuracies alone.
        folds: policies are held out in so many parts, drawn at random.
    """
    terms = Terms.of(space, damages, budget)
    places = terms.places(space, [record.policy for record in records])
    accuracy = _standardised([record.val_accuracy for record in records])
    scores = None if proxy is None else _standardised([r.proxies[proxy] for r in records])
    drawn = np.random.default_rng(seed).permutation(len(records))
    found = np.empty(len(records))
    for held in np.array_split(drawn, min(folds, len(records))):
        seen = np.setdiff1d(drawn, held)
        judged = _judged(places, accuracy, seen, scores)
        model = Posterior(terms, judged, fitted(terms, judged))
        means, _ = model.drawn(np.random.default_rng(0), boldness=0.0)
        found[held] = -means[places[held]].sum(1)
    return found


def _judged(
    places: np.ndarray, accuracy: np.ndarray, seen: np.ndarray, scores: np.ndarray | None
) -> Judged:
    """Accuracies of those that are seen, and the proxy's scores of all."""
    everyone = np.arange(0 if scores is None else len(places))
    at = np.concatenate([everyone, seen])
    values = np.concatenate([[] if scores is None else scores, accuracy[seen]])
    kind = np.repeat([0, 1], [len(everyone), len(seen)])
    return Judged(places[at], values, kind, np.zeros(len(at), dtype=int))


def _standardised(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, float)
    return np.asarray((array - array.mean()) / array.std())
