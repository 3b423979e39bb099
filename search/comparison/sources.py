"""What fine-tuning inherits in a comparison, other than by the run's own criteria."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

import prune_ops
from prune_ops import Scores
from results.arms import ARMS, random_source
from results.record import Candidate
from results.training import SPARSE, TrainingSpec
from search import cache
from search.comparison.config import CompareConfig
from search.comparison.structures import SLIMMING
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult, WeightSource
from search.evaluation.scoring import in_one_unit
from search.training.trainer import Known, Trainer, Weights
from spaces import copied
from spaces.errors import ModelError
from spaces.state import set_state


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
    task, space = evaluator.task, evaluator.space
    batches = task.calibration()
    scores = prune_ops.score(model or task.model, space, batches, [criterion], seed=seed)
    return in_one_unit(scores[criterion], criterion)


def slimmed(
    evaluator: Evaluator,
    trainer: Trainer,
    spec: TrainingSpec,
    seed: int,
    folder: Path,
    say: Callable[[str], None],
) -> nn.Module:
    """The unpruned architecture, trained from fresh weights with a sparsity penalty.

    Args:
        folder: where the weights are cached.
        say: called with a line before the training.

    Raises:
        ModelError: it does not train.
    """
    candidate = Candidate(evaluator.space.full)
    job = TrainingJob(candidate, spec, seed, tested=False, returns_weights=True)
    weights = _InFile(folder / f"slimming-{cache.key(spec, seed)}.pt")
    if trainer.missing([job], weights):
        say("training the unpruned network sparsely, for slimming")
    for _ in trainer.train(SPARSE, [job], weights):
        pass
    record = trainer.known(job)
    if record is None or record.failure:
        why = record.reason if record else "was not trained"
        raise ModelError(
            f"--structures slimming needs a network that trains sparsely, but it {why}; try "
            f"another --slimming-sparsity than {spec.sparsity:g}"
        )
    network = copied(evaluator.task.model)
    set_state(network, weights.state)
    return network.eval()


class _InFile(Weights):
    """Weights in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state: dict[str, Any] = cache.load(path) or {}

    def has(self, job: TrainingJob, known: Known) -> bool:  # noqa: ARG002
        return bool(self.state)

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:  # noqa: ARG002
        self.state = result.weights
        cache.save(self._path, result.weights)
