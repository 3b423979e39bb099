"""The finals: the front and uniform widths, trained for longer with several seeds, and tested.

This is where the test split is read: once for every network that was trained to the end, and once
for the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import prune_ops
from results import FinalRecord, TrialRecord, trial_front
from results.pareto import finished
from results.record import Tried
from search.engines import Engine
from search.evaluator import Evaluator
from search.jobs import TrainingJob, TrainingResult
from search.layerwise import layer_flops, stages
from search.train import evaluate
from spaces import Budget, Policy
from spaces.state import set_state

MOST = 4
"""So many policies of each budget's front are trained to the end, the best one among them."""


@dataclass(frozen=True, slots=True)
class Finalist:
    """A policy to be trained to the end, and the budget it stands for.

    Attributes:
        criterion: who says which channels stay.
    """

    name: str
    policy: Policy
    criterion: str
    budget: Budget
    number: int | None = None
    best: bool = False

    @property
    def tried(self) -> Tried:
        """As of a `TrialRecord`."""
        return self.policy, self.criterion


def finalists(
    records: Sequence[TrialRecord],
    evaluator: Evaluator,
    budgets: Sequence[Budget],
    most: int = MOST,
) -> list[Finalist]:
    """At every budget: the front, the most accurate policy first, then uniform widths.

    A policy stands for the tightest budget it meets. The best was chosen on the validation split,
    at the top rung; where criteria were searched, so was that of uniform widths, lest the search
    win by the criterion alone.
    """
    found = []
    limits = {budget: budget.limit(evaluator.space.full_flops) for budget in budgets}
    for budget, limit in limits.items():
        tighter = max((other for other in limits.values() if other < limit), default=-1)
        front = trial_front([r for r in records if tighter < r.flops <= limit])
        for place, record in enumerate(reversed(front[-most:])):
            name = f"trial {record.number}"
            best = place == 0
            found.append(Finalist(name, *record.tried, budget, record.number, best))
        uniform = evaluator.space.uniform(budget)
        criterion = _best_criterion(uniform, records) or evaluator.config.reference
        found.append(Finalist(f"uniform@{budget}", uniform, criterion, budget))
    return found


def _best_criterion(policy: Policy, records: Sequence[TrialRecord]) -> str | None:
    """Of those that the policy was trained under, the one of the best accuracy at the top rung."""
    trained = [r for r in finished(records) if r.policy == policy]
    best = max(trained, key=lambda r: r.val_accuracy, default=None)
    return None if best is None else best.criterion


class Finals:
    """Has finalists trained by an engine and keeps what they gave, training by training.

    >>> finals = Finals(contenders, climb, folder.path / "models", load_finals(study), keep)
    >>> finals.run(engine, watch=print)
    [FinalRecord(name='baseline', ...), FinalRecord(name='trial 12', ...), ...]

    Given what an earlier process kept, it goes on from there. Each policy is trained once with
    each seed under each of its criteria, also where it stands in two places. A training that fails
    is left out, and ``failures`` says why; the others go on.

    Args:
        contenders: in the order of the records.
        climb: trains, in the run's mode.
        models: folder for the searched networks, each as trained with the first seed.
        known: what was kept before.
        keep: called with everything so far after every training.
    """

    def __init__(
        self,
        contenders: Sequence[Finalist],
        evaluator: Evaluator,
        models: Path,
        known: Sequence[FinalRecord],
        keep: Callable[[list[FinalRecord]], None],
    ) -> None:
        self._contenders, self._evaluator = contenders, evaluator
        self._models, self._keep = models, keep
        self._baseline = next((final for final in known if final.role == "baseline"), None)
        self._gave = {job: result for final in known for job, result in _outcomes(final)}
        self.failures: list[str] = []

    def run(self, engine: Engine, watch: Callable[[FinalRecord], None]) -> list[FinalRecord]:
        """The baseline's record and those of the finalists, in order.

        ``watch`` sees every finalist's record once for each seed.
        """
        self._keep(self._records())
        jobs = self._jobs()
        for job in jobs:
            if job in self._gave:
                self._show(job, watch)
        missing = [job for job in jobs if job not in self._gave]
        for job, result in engine.finals(self._evaluator, missing):
            self._add(job, result)
            self._show(job, watch)
        return self._records()

    def _jobs(self) -> list[TrainingJob]:
        """First everybody with the first seed, so that what is cut short can still be compared."""
        seeds = self._evaluator.config.final_seeds
        return list(dict.fromkeys(_job(one, seed) for seed in seeds for one in self._contenders))

    def _add(self, job: TrainingJob, result: TrainingResult) -> None:
        if result.failure is not None:
            why = f"could not be trained with seed {job.seed}: {result.failure.reason}"
            self.failures += [f"{finalist.name} {why}" for finalist in self._having(job)]
            return
        self._gave[job] = replace(result, weights={})
        if job.seed == self._seeds(self._having(job)[0])[0]:
            self._save_network(job, result)
        self._keep(self._records())

    def _save_network(self, job: TrainingJob, result: TrainingResult) -> None:
        network = self._evaluator.pruned(job.policy, job.source, "plain")
        set_state(network, result.weights)
        about = {
            "criterion": job.source,
            "seed": job.seed,
            "epochs": result.epochs,
            "val_accuracy": result.val_accuracy,
        }
        for finalist in self._having(job):
            if finalist.number is not None:
                folder = self._models / str(finalist.number)
                prune_ops.save(folder, network, job.policy, about, self._evaluator.task.example)

    def _show(self, job: TrainingJob, watch: Callable[[FinalRecord], None]) -> None:
        for finalist in self._having(job):
            watch(self._record(finalist))

    def _having(self, job: TrainingJob) -> list[Finalist]:
        return [one for one in self._contenders if _job(one, job.seed) == job]

    def _seeds(self, finalist: Finalist) -> list[int]:
        """Those it was trained with, in the config's order, whatever came first."""
        seeds = self._evaluator.config.final_seeds
        return [seed for seed in seeds if _job(finalist, seed) in self._gave]

    def _records(self) -> list[FinalRecord]:
        self._baseline = self._baseline or _baseline(self._evaluator)
        trained = [f for f in self._contenders if self._seeds(f)]
        return [self._baseline, *map(self._record, trained)]

    def _record(self, finalist: Finalist) -> FinalRecord:
        space, policy, seeds = self._evaluator.space, finalist.policy, self._seeds(finalist)
        gave = [self._gave[_job(finalist, seed)] for seed in seeds]
        flops = space.flops(policy)
        each = self._evaluator.to_the_end(policy).layer_epochs
        return FinalRecord(
            name=finalist.name,
            role="uniform" if finalist.number is None else "searched",
            budget=str(finalist.budget),
            number=finalist.number,
            policy=policy,
            flops=flops,
            flops_fraction=flops / space.full_flops,
            params=space.params(policy),
            seeds=tuple(seeds),
            val_accuracy=tuple(result.val_accuracy for result in gave),
            test_accuracy=tuple(result.test_accuracy for result in gave),
            seconds=tuple(result.seconds for result in gave),
            epochs=gave[0].epochs if gave else 0,
            layer_epochs=each * len(list(stages(space, policy))),
            layer_flops=layer_flops(space, policy, each),
            mode=self._evaluator.config.training.train,
            best=finalist.best,
            criterion=finalist.criterion,
        )


def _job(finalist: Finalist, seed: int) -> TrainingJob:
    return TrainingJob(finalist.policy, seed, source=finalist.criterion)


def _outcomes(final: FinalRecord) -> Iterator[tuple[TrainingJob, TrainingResult]]:
    """What a record says of each training; the baseline's was none of ours."""
    if final.policy is None:
        return
    seconds = final.seconds or (0.0,) * len(final.seeds)
    gave = zip(final.seeds, seconds, final.val_accuracy, final.test_accuracy, strict=True)
    for seed, took, validation, test in gave:
        job = TrainingJob(final.policy, seed, source=final.criterion)
        yield job, TrainingResult(took, final.epochs, validation, test)


def _baseline(evaluator: Evaluator) -> FinalRecord:
    task, space = evaluator.task, evaluator.space
    return FinalRecord(
        name="baseline",
        role="baseline",
        budget=None,
        number=None,
        policy=None,
        flops=space.full_flops,
        flops_fraction=1.0,
        params=space.full_params,
        seeds=(evaluator.config.policies.seed,),
        val_accuracy=(evaluate(task.model, task.validation),),
        test_accuracy=(evaluate(task.model, task.test),),
    )
