"""Other ways to compress the same network, trained to be set beside what the search found.

At each budget unstructured magnitude pruning with as many weights left as the best searched network
has, and one network with ternary weights. They save bytes; of FLOPs they save none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from prune_ops import Compression, layer_weights, size
from results import BesideRecord, FinalRecord
from search.comparison.plan import recipe
from search.config import SearchConfig
from search.engines import Engine
from search.train import FINETUNE
from search.trial import Climb, FinalJob, FinalOutcome, Training


@dataclass(frozen=True, slots=True)
class Rival:
    """A way to compress, and the budget whose searched network it is set beside."""

    name: str
    budget: str | None
    compression: Compression


def trainings(config: SearchConfig) -> int:
    """How many trainings a run will add to its finals."""
    ways = config.training.beside
    rivals = len(config.policies.budget) * ("magnitude" in ways) + ("ternary" in ways)
    return rivals * config.training.final_seeds


class Beside:
    """Has rivals trained by an engine and keeps what they gave, training by training.

    >>> beside = Beside(finals, climb, load_beside(study), keep)
    >>> beside.run(engine, watch=progress.training)
    [BesideRecord(name='unpruned', ...), BesideRecord(name='trial 12', ...), ...]

    Every rival starts from the unpruned network's weights and has the epochs and the seeds of the
    finals, whatever the run's own mode is: from fresh weights there would be nothing to compress.
    A training that fails, and a rival that cannot be, are left out, and ``failures`` says why; the
    others go on.

    Args:
        finals: of the search; its best networks and the unpruned one get records too.
        known: what was kept before; it is not trained again.
        keep: called with everything so far after every training.
    """

    def __init__(
        self,
        finals: Sequence[FinalRecord],
        climb: Climb,
        known: Iterable[BesideRecord],
        keep: Callable[[list[BesideRecord]], None],
    ) -> None:
        self._climb, self._keep = climb, keep
        self.failures: list[str] = []
        self._entries = list(self._ordered(finals))
        self._gave = {
            self._job(Compression(record.way, record.sparsity), record.seed): record
            for record in known
            if record.way in ("magnitude", "ternary")
        }

    def run(self, engine: Engine, watch: Callable[[], None]) -> list[BesideRecord]:
        """All records; ``watch`` is called once for each training, one that was known too."""
        jobs = self._jobs()
        self._keep(self._records())
        for _ in jobs.keys() & self._gave.keys():
            watch()
        missing = [job for job in jobs if job not in self._gave]
        for job, outcome in engine.finals(self._climb, missing):
            self._add(job, jobs[job], outcome)
            watch()
        return self._records()

    def _ordered(self, finals: Iterable[FinalRecord]) -> Iterator[list[BesideRecord] | Rival]:
        """The unpruned network, at each budget the searched one and its rival, then ternary."""
        ways = self._climb.config.training.beside
        for final in finals:
            if final.best or final.role == "baseline":
                yield self._of(final)
            if final.best and "magnitude" in ways:
                yield from self._as_large_as(final)
        if "ternary" in ways:
            yield Rival("ternary", None, Compression("ternary"))

    def _of(self, final: FinalRecord) -> list[BesideRecord]:
        """What is known of a network of the finals, which is not trained or tested again."""
        unpruned = final.policy is None
        policy = final.policy or self._climb.space.full
        found = size(self._climb.pruned(policy, final.criterion))
        seconds = final.seconds or (0.0,) * len(final.seeds)
        measured = zip(final.seeds, final.val_accuracy, final.test_accuracy, seconds, strict=True)
        return [
            BesideRecord(
                name="unpruned" if unpruned else final.name,
                way="unpruned" if unpruned else "channels",
                budget=final.budget,
                sparsity=0.0,
                flops=final.flops,
                flops_fraction=final.flops_fraction,
                nonzero=found.nonzero,
                bytes=found.bytes,
                epochs=final.epochs,
                seed=seed,
                val_accuracy=validation,
                test_accuracy=test,
                seconds=took,
            )
            for seed, validation, test, took in measured
        ]

    def _as_large_as(self, final: FinalRecord) -> Iterator[Rival]:
        """Magnitude pruning to as many parameters as a pruned network has."""
        name = f"magnitude at {final.budget}"
        weights = sum(weight.numel() for weight in layer_weights(self._climb.task.model))
        others = self._climb.space.full_params - weights
        if final.params <= others:
            self.failures.append(
                f"{name} was left out: it must have the {final.params:,} parameters of "
                f"{final.name}, but biases and all else that cannot become zero have {others:,}"
            )
            return
        zeros = self._climb.space.full_params - final.params
        yield Rival(name, final.budget, Compression("magnitude", zeros / weights))

    @property
    def _rivals(self) -> list[Rival]:
        return [entry for entry in self._entries if isinstance(entry, Rival)]

    def _jobs(self) -> dict[FinalJob, Rival]:
        """First every rival with the first seed; what two budgets share is trained once."""
        seeds = self._climb.config.final_seeds
        return {self._job(r.compression, seed): r for seed in seeds for r in self._rivals}

    def _job(self, compression: Compression, seed: int) -> FinalJob:
        climb, asked = self._climb, self._climb.config.training
        usual = climb.recipe if asked.train == "finetune" else recipe(climb, FINETUNE)
        how = Training(usual, asked.final_epochs, compression=compression)
        return FinalJob(climb.space.full, seed, how, keep=False)

    def _add(self, job: FinalJob, rival: Rival, outcome: FinalOutcome) -> None:
        if outcome.failure is not None:
            why = f"could not be trained with seed {job.seed}: {outcome.failure.reason}"
            self.failures.append(f"{rival.name} {why}")
            return
        assert outcome.size is not None  # whatever was compressed is measured after its training
        self._gave[job] = BesideRecord(
            name=rival.name,
            way=cast(Any, rival.compression.way),
            budget=rival.budget,
            sparsity=rival.compression.sparsity,
            flops=self._climb.space.full_flops,
            flops_fraction=1.0,
            nonzero=outcome.size.nonzero,
            bytes=outcome.size.bytes,
            epochs=outcome.epochs,
            seed=job.seed,
            val_accuracy=outcome.val_accuracy,
            test_accuracy=outcome.test_accuracy,
            seconds=outcome.seconds,
        )
        self._keep(self._records())

    def _records(self) -> list[BesideRecord]:
        """In the order of the networks and of the seeds, whatever came first."""
        made: list[BesideRecord] = []
        for entry in self._entries:
            made += self._trained(entry) if isinstance(entry, Rival) else entry
        return made

    def _trained(self, rival: Rival) -> Iterator[BesideRecord]:
        for seed in self._climb.config.final_seeds:
            record = self._gave.get(self._job(rival.compression, seed))
            if record is not None:
                yield replace(record, name=rival.name, budget=rival.budget)
