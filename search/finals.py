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
from search.train import evaluate
from search.trial import Climb, failure
from spaces import Budget, Policy, fvcore_flops

MOST = 4
"""So many policies of each budget's front are trained to the end, the best one among them."""


@dataclass(frozen=True, slots=True)
class Finalist:
    """A policy to be trained to the end, and the budget it stands for."""

    name: str
    policy: Policy
    budget: Budget
    number: int | None = None
    best: bool = False


def finalists(
    records: Sequence[TrialRecord], climb: Climb, budgets: Sequence[Budget]
) -> list[Finalist]:
    """At every budget: the front, the most accurate policy first, then uniform widths.

    A policy stands for the tightest budget it meets. The best was chosen on the validation split,
    at the top rung.
    """
    found = []
    limits = {budget: budget.limit(climb.space.full_flops) for budget in budgets}
    for budget, limit in limits.items():
        tighter = max((other for other in limits.values() if other < limit), default=-1)
        front = trial_front([r for r in records if tighter < r.flops <= limit])
        for place, record in enumerate(reversed(front[-MOST:])):
            name = f"trial {record.number}"
            best = place == 0
            found.append(Finalist(name, record.policy, budget, record.number, best))
        found.append(Finalist(f"uniform@{budget}", climb.space.uniform(budget), budget))
    return found


class Finals:
    """Trains finalists and keeps what they gave, seed by seed.

    >>> finals = Finals(climb, folder.path / "models", load_finals(study), keep)
    >>> finals.run(finalists(records, climb, budgets), watch=print)
    [FinalRecord(name='baseline', ...), FinalRecord(name='trial 12', ...), ...]

    Given what an earlier process kept, it goes on from there. A training that fails is left out,
    and ``failures`` says why; the others go on.

    Args:
        climb: trains, in the run's mode.
        models: folder for the searched networks, each as trained with the first seed.
        known: what was kept before.
        keep: called with everything so far after every training.
    """

    def __init__(
        self,
        climb: Climb,
        models: Path,
        known: Sequence[FinalRecord],
        keep: Callable[[list[FinalRecord]], None],
    ) -> None:
        self._climb, self._models, self._keep = climb, models, keep
        self._finals = {(final.name, final.budget): final for final in known}
        self.failures: list[str] = []

    def run(
        self, contenders: Sequence[Finalist], watch: Callable[[FinalRecord], None]
    ) -> list[FinalRecord]:
        """The baseline's record and those of the finalists, in order."""
        self._baseline()
        for finalist in contenders:
            key = finalist.name, str(finalist.budget)
            final = self._finals.get(key) or self._blank(finalist)
            for seed in self._climb.config.final_seeds:
                if seed not in final.seeds:
                    final = self._trained(final, finalist.policy, seed)
                watch(final)
        return list(self._finals.values())

    def _baseline(self) -> None:
        if ("baseline", None) in self._finals:
            return
        task, space = self._climb.task, self._climb.space
        self._store(
            FinalRecord(
                name="baseline",
                role="baseline",
                budget=None,
                number=None,
                policy=None,
                flops=space.full_flops,
                flops_fraction=1.0,
                params=space.full_params,
                seeds=(self._climb.config.policies.seed,),
                val_accuracy=(evaluate(task.model, task.validation),),
                test_accuracy=(evaluate(task.model, task.test),),
            )
        )

    def _blank(self, finalist: Finalist) -> FinalRecord:
        space, training = self._climb.space, self._climb.config.training
        flops = space.flops(finalist.policy)
        return FinalRecord(
            name=finalist.name,
            role="uniform" if finalist.number is None else "searched",
            budget=str(finalist.budget),
            number=finalist.number,
            policy=finalist.policy,
            flops=flops,
            flops_fraction=flops / space.full_flops,
            params=space.params(finalist.policy),
            mode=training.train,
            best=finalist.best,
        )

    def _trained(self, final: FinalRecord, policy: Policy, seed: int) -> FinalRecord:
        known = self._known(policy, seed) or self._measured(final, policy, seed)
        if known is None:
            return final
        epochs, validation, test = known
        return self._store(
            replace(
                final,
                epochs=epochs,
                seeds=(*final.seeds, seed),
                val_accuracy=(*final.val_accuracy, validation),
                test_accuracy=(*final.test_accuracy, test),
            )
        )

    def _known(self, policy: Policy, seed: int) -> tuple[int, float, float] | None:
        """A searched policy that is the uniform one needs no second training."""
        for other in self._finals.values():
            if other.policy == policy and seed in other.seeds:
                place = other.seeds.index(seed)
                return other.epochs, other.val_accuracy[place], other.test_accuracy[place]
        return None

    def _measured(
        self, final: FinalRecord, policy: Policy, seed: int
    ) -> tuple[int, float, float] | None:
        climb, task = self._climb, self._climb.task
        try:
            network, epochs = climb.trained(policy, climb.config.training.final_epochs, seed)
        except Exception as error:
            reason = failure(error).reason
            self.failures.append(f"{final.name} could not be trained with seed {seed}: {reason}")
            return None
        validation, test = evaluate(network, task.validation), evaluate(network, task.test)
        if final.number is not None and not final.seeds:
            about = {"seed": seed, "epochs": epochs, "val_accuracy": validation}
            prune_ops.save(self._models / str(final.number), network, policy, about)
        return epochs, validation, test

    def _store(self, final: FinalRecord) -> FinalRecord:
        self._finals[final.name, final.budget] = final
        self._keep(list(self._finals.values()))
        return final


def flops_check(finals: Sequence[FinalRecord], climb: Climb) -> Iterator[str]:
    """Whether fvcore counts what the search counted, for the best network of every budget."""
    for final in finals:
        if not final.best or final.policy is None:
            continue
        counted = fvcore_flops(climb.pruned(final.policy), climb.task.example)
        if counted == final.flops:
            yield f"fvcore counts {counted:,} flops in {final.name}, exactly what the search did"
        else:
            yield f"fvcore counts {counted:,} flops in {final.name}, the search {final.flops:,}"
