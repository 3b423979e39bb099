"""The gain steps: from uniform widths, cut plainly, to the best searched network of each budget.

What other tools' one-liners do is the first: uniform widths, channels by l1, a plain cut. Each
step changes one thing more, and all are trained like the finals. Those that are finals anyway are
not trained again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import prune_ops
from prune_ops.criteria import ALIASES
from results.gains import DISTILLED, PLAIN, REPAIRED, SEARCHED, GainStep
from results.record import Candidate
from results.training import GAINS, TrainingRecord, TrainingSpec
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, WeightSource
from search.evaluation.scoring import in_one_unit
from search.plans.finals import Finalist, Finals
from search.training.trainer import Known, failed, successes
from spaces import Budget

CRITERION, SURGERY = "l1", "plain"
"""Of the first step."""


@dataclass(frozen=True, slots=True)
class Step:
    """A network, and how it is trained; ``network`` is its name."""

    name: str
    network: str
    budget: Budget
    candidate: Candidate
    spec: TrainingSpec

    def job(self, seed: int) -> TrainingJob:
        """Its training with a seed."""
        return TrainingJob(self.candidate, self.spec, seed)


class GainSteps:
    """The plan of the gain steps.

    Args:
        finals: of the search; its uniform widths and its best networks are steps.
    """

    purpose = GAINS

    def __init__(self, finals: Finals) -> None:
        self._finals, self._evaluator = finals, finals.evaluator
        self._steps = list(self._every()) if self._evaluator.config.training.gains else []

    @cached_property
    def jobs(self) -> list[TrainingJob]:
        """Of the steps that are no finals, every one with the first seed, then with the next."""
        return list(dict.fromkeys(job for _, job in self._own))

    @cached_property
    def sources(self) -> dict[str, WeightSource]:
        """What the jobs inherit that is not of the run's own criteria."""
        evaluator = self._evaluator
        needed = any(job.candidate.criterion == CRITERION for job in self.jobs)
        if not needed or CRITERION in evaluator.scores:
            return {}
        scores = prune_ops.score(evaluator.task.model, evaluator.space, (), [CRITERION])
        return {CRITERION: WeightSource(in_one_unit(scores[CRITERION], CRITERION))}

    def rows(self, known: Known) -> list[GainStep]:
        """Every step that was trained with some seed."""
        seeds = self._evaluator.specs.final_seeds
        pairs = [(s, successes((s.job(seed) for seed in seeds), known)) for s in self._steps]
        return [self._row(step, trained) for step, trained in pairs if trained]

    def failures(self, known: Known) -> Iterator[str]:
        """One line for every step, finals apart, that could not be trained with some seed."""
        for step, job in self._own:
            yield from failed(f"{step.name} at {step.budget}", known(job))

    @cached_property
    def _own(self) -> list[tuple[Step, TrainingJob]]:
        """The steps and jobs that are no finals; the keys are those of `Trainer`."""
        finals = {(job.candidate, job.spec, job.seed) for job in self._finals.jobs}
        seeds = self._evaluator.specs.final_seeds
        pairs = [(step, step.job(seed)) for seed in seeds for step in self._steps]
        return [(s, j) for s, j in pairs if (j.candidate, j.spec, j.seed) not in finals]

    def _every(self) -> Iterator[Step]:
        for uniform in self._finals.contenders:
            if uniform.number is None:
                rivals = (f for f in self._finals.contenders if f.budget == uniform.budget)
                yield from self._of(uniform, next((f for f in rivals if f.best), None))

    def _of(self, uniform: Finalist, best: Finalist | None) -> Iterator[Step]:
        """The steps of one budget."""
        specs, surgery = self._evaluator.specs, self._evaluator.config.training.surgery
        spec = specs.undistilled(specs.final(uniform.candidate.policy))
        criterion = uniform.candidate.criterion or self._evaluator.config.reference
        if spec.scratch:
            name = "uniform widths"
        elif surgery != SURGERY:
            name = REPAIRED
        elif ALIASES.get(criterion, criterion) != CRITERION:
            name = f"uniform by {criterion}"
        else:
            name = PLAIN
        if name not in (PLAIN, "uniform widths"):
            plain = Candidate(uniform.candidate.policy, CRITERION)
            plain_spec = specs.with_surgery(spec, SURGERY)
            yield Step(PLAIN, uniform.name, uniform.budget, plain, plain_spec)
        yield Step(name, uniform.name, uniform.budget, uniform.candidate, spec)
        if best is not None:
            full = specs.final(best.candidate.policy)
            spec = specs.undistilled(full)
            yield Step(SEARCHED, best.name, best.budget, best.candidate, spec)
            if full.distill:
                yield Step(DISTILLED, best.name, best.budget, best.candidate, full)

    def _row(self, step: Step, trained: Sequence[TrainingRecord]) -> GainStep:
        space, policy, spec = self._evaluator.space, step.candidate.policy, step.spec
        surgery = spec.surgery or self._evaluator.config.training.surgery
        return GainStep(
            budget=str(step.budget),
            step=step.name,
            name=step.network,
            policy=policy,
            criterion=trained[0].candidate.criterion,
            surgery="" if spec.scratch else surgery,
            distill=spec.distill,
            temperature=spec.temperature,
            flops=space.flops(policy),
            flops_fraction=space.flops(policy) / space.full_flops,
            epochs=spec.epochs,
            seeds=tuple(record.seed for record in trained),
            val_accuracy=tuple(record.val_accuracy for record in trained),
            test_accuracy=tuple(record.test_accuracy for record in trained),
        )


def expected(evaluator: Evaluator, budgets: Sequence[Budget]) -> list[TrainingJob]:
    """About the jobs there will be, as known before the search: all with uniform widths."""
    finalists = []
    for budget in budgets:
        policy = evaluator.space.uniform(budget)
        # Named and unnamed, the run's criterion tells the two apart.
        best = Finalist("searched", Candidate(policy), budget, 0, best=True)
        uniform = Candidate(policy, evaluator.config.reference)
        finalists += [best, Finalist(f"uniform@{budget}", uniform, budget)]
    return GainSteps(Finals(finalists, evaluator)).jobs
