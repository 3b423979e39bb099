"""What fine-tuning inherits in a comparison, other than by the run's own criteria."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

import prune_ops
from prune_ops import Scores
from results.arms import ARMS, random_source
from search.comparison.config import CompareConfig
from search.comparison.structures import SLIMMING
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import WeightSource
from search.evaluation.scoring import in_one_unit


def sources_of(
    options: CompareConfig,
    seeds: Sequence[int],
    evaluator: Evaluator,
    slim: nn.Module | None,
) -> dict[str, WeightSource]:
    """The sources, by the name in candidates.

    Args:
        slim: the sparsely trained network, if slimming is compared.
    """
    sources = {}
    for name in {"l1", "thinet"} & set(options.structures) - set(evaluator.scores):
        sources[name] = WeightSource(scores_by(name, evaluator))
    if slim is not None:
        sources[SLIMMING] = WeightSource(scores_by("bn_scale", evaluator, slim), slim)
    inherited = {ARMS[arm].source("", seed) for arm in options.arms for seed in seeds}
    for seed in seeds:
        if random_source(seed) in inherited:
            sources[random_source(seed)] = WeightSource(scores_by("random", evaluator, seed=seed))
    return sources


def scores_by(
    criterion: str, evaluator: Evaluator, model: nn.Module | None = None, seed: int = 0
) -> Scores:
    """The criterion's scores for the task's model, or another one, in one unit."""
    task = evaluator.task
    batches = task.calibration()
    model = model or task.model
    scores = prune_ops.score(model, evaluator.space, batches, [criterion], seed=seed)
    return in_one_unit(scores[criterion], criterion)
