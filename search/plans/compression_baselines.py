"""Other ways to compress the same network, trained for comparison with the searched networks.

A way that takes a share of zeros has one network a budget, with as many parameters left as the best
searched network; any other way has one. They save bytes, but no FLOPs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from prune_ops import WAYS, Way, layer_weights, size
from results import CompressionBaseline, FinalRecord
from results.record import Candidate
from results.training import BASELINES, TrainingRecord
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.training.trainer import Known, failed, successes


@dataclass(frozen=True, slots=True)
class Baseline:
    """A compressed network, and the budget whose searched network it is compared with.

    Attributes:
        zeros: share of the layer weights that become zero.
    """

    name: str
    way: str
    budget: str | None
    zeros: float = 0.0


class CompressionBaselines:
    """The plan of the compression baselines.

    All start from the unpruned network's weights, since fresh weights leave nothing to compress,
    and have the epochs and seeds of the finals. An impossible one is left out, and `failures` says
    why.

    Args:
        finals: of the search; the best networks and the unpruned one get rows too.
    """

    purpose = BASELINES

    def __init__(self, finals: Sequence[FinalRecord], evaluator: Evaluator) -> None:
        self._evaluator, self._seeds = evaluator, evaluator.specs.final_seeds
        self._impossible: list[str] = []
        self._entries = list(self._ordered(finals))
        self._baselines = [entry for entry in self._entries if isinstance(entry, Baseline)]

    @cached_property
    def jobs(self) -> list[TrainingJob]:
        """Every baseline with the first seed, then with the next."""
        return [self._job(b, seed) for seed in self._seeds for b in self._baselines]

    def rows(self, known: Known) -> list[CompressionBaseline]:
        rows: list[CompressionBaseline] = []
        for entry in self._entries:
            if isinstance(entry, Baseline):
                trained = successes((self._job(entry, seed) for seed in self._seeds), known)
                rows += [_row(entry, record) for record in trained]
            else:
                rows += entry
        return rows

    def failures(self, known: Known) -> list[str]:
        """What was left out or failed, and why."""
        pairs = [(b, seed) for b in self._baselines for seed in self._seeds]
        lines = [line for b, seed in pairs for line in failed(b.name, known(self._job(b, seed)))]
        return [*self._impossible, *lines]

    def _ordered(
        self, finals: Iterable[FinalRecord]
    ) -> Iterator[list[CompressionBaseline] | Baseline]:
        """The unpruned network; per budget the searched one and baselines as large; the rest."""
        ways = [WAYS[name] for name in self._evaluator.config.training.compression_baselines]
        for final in finals:
            if final.best or final.role == "baseline":
                yield self._of(final)
            if final.best:
                for way in ways:
                    if way.needs_zeros:
                        yield from self._as_large_as(final, way)
        yield from (Baseline(way.name, way.name, None) for way in ways if not way.needs_zeros)

    def _of(self, final: FinalRecord) -> list[CompressionBaseline]:
        """Rows of a network of the finals, which is not trained or tested again."""
        unpruned = final.policy is None
        policy = final.policy or self._evaluator.space.full
        measured = size(self._evaluator.pruned(Candidate(policy, final.criterion)))
        seconds = final.seconds or (0.0,) * len(final.seeds)
        trainings = zip(final.seeds, final.val_accuracy, final.test_accuracy, seconds, strict=True)
        return [
            CompressionBaseline(
                name="unpruned" if unpruned else final.name,
                way="unpruned" if unpruned else "channels",
                budget=final.budget,
                sparsity=0.0,
                flops=final.flops,
                flops_fraction=final.flops_fraction,
                nonzero=measured.nonzero,
                bytes=measured.bytes,
                epochs=final.epochs,
                seed=seed,
                val_accuracy=validation,
                test_accuracy=test,
                seconds=taken,
            )
            for seed, validation, test, taken in trainings
        ]

    def _as_large_as(self, final: FinalRecord, way: Way) -> Iterator[Baseline]:
        """Compress to as many parameters as a pruned network has, if that is possible."""
        name, space = f"{way.name} at {final.budget}", self._evaluator.space
        weights = sum(weight.numel() for weight in layer_weights(self._evaluator.task.model))
        rest = space.full_params - weights
        if final.params <= rest:
            self._impossible.append(
                f"{name} was left out: it must have the {final.params:,} parameters of "
                f"{final.name}, but biases and all else that cannot become zero have {rest:,}"
            )
            return
        zeros = (space.full_params - final.params) / weights
        yield Baseline(name, way.name, final.budget, zeros)

    def _job(self, baseline: Baseline, seed: int) -> TrainingJob:
        usual = self._evaluator.specs.finetuning()
        spec = replace(usual, way=baseline.way, zeros=baseline.zeros)
        return TrainingJob(Candidate(self._evaluator.space.full), spec, seed)


def expected(evaluator: Evaluator) -> list[TrainingJob]:
    """The jobs there will be, as far as known before the search."""
    config = evaluator.config
    ways = config.training.compression_baselines
    networks = sum(len(config.policies.budget) if WAYS[w].needs_zeros else 1 for w in ways)
    full, spec = Candidate(evaluator.space.full), evaluator.specs.finetuning()
    return [TrainingJob(full, spec, seed) for seed in evaluator.specs.final_seeds] * networks


def _row(baseline: Baseline, record: TrainingRecord) -> CompressionBaseline:
    return CompressionBaseline(
        name=baseline.name,
        way=baseline.way,
        budget=baseline.budget,
        sparsity=baseline.zeros,
        flops=record.flops,
        flops_fraction=1.0,
        nonzero=record.nonzero,
        bytes=record.bytes,
        epochs=record.spec.epochs,
        seed=record.seed,
        val_accuracy=record.val_accuracy,
        test_accuracy=record.test_accuracy,
        seconds=record.seconds,
    )
