"""The network for slimming: trained from fresh weights with a sparsity penalty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from results.record import Candidate
from results.training import SPARSE, TrainingSpec
from search import cache
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.training.trainer import Known, Trainer, Weights
from spaces import copied
from spaces.errors import ModelError
from spaces.state import set_state


def slimmed(
    evaluator: Evaluator,
    trainer: Trainer,
    folder: Path,
    epochs: int,
    sparsity: float,
    seed: int,
    say: Callable[[str], None],
) -> nn.Module:
    """The unpruned architecture, trained with an L1 penalty on the scales of its BatchNorm.

    Args:
        folder: where the weights are cached.
        say: called with a line before the training.

    Raises:
        ModelError: it does not train.
    """
    spec = TrainingSpec(evaluator.specs.usual_rate(scratch=True), epochs, True, sparsity=sparsity)
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
            f"another --slimming-sparsity than {sparsity:g}"
        )
    network = copied(evaluator.task.model)
    set_state(network, weights.load())
    return network.eval()


class _InFile(Weights):
    """Weights in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._weights: dict[str, Any] | None = cache.load(path)

    def has(self, job: TrainingJob) -> bool:  # noqa: ARG002
        return self._weights is not None

    def save(self, job: TrainingJob, result: TrainingResult, known: Known) -> None:  # noqa: ARG002
        self._weights = result.weights
        cache.save(self._path, result.weights)

    def load(self) -> dict[str, Any]:
        """The weights of a training that succeeded."""
        assert self._weights is not None
        return self._weights
