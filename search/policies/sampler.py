"""BudgetSampler: an Optuna sampler that makes any other propose only what the budget allows.

The inner sampler proposes widths, the space projects them onto the trial's budget, and Optuna
stores the result under the groups' names: every policy that is paid for already meets its budget.
Where the criterion is searched too, it is one parameter more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import optuna
from optuna import samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from results.optuna_private import storage_of, trial_id_of
from search.policies.memory import Memory, View
from search.policies.seeds import trial_seed
from spaces import Budget, ChannelGroup, Policy
from spaces.errors import ModelError, unknown

CRITERION = "criterion"
"""The parameter that says which channels stay, where it is searched."""

_ATTR = "budget_sampler"
_ATTEMPTS = 20


def drawn(study: Study, trial: Trial | FrozenTrial) -> bool:
    """Whether ``BudgetSampler`` drew that trial's widths itself, the inner sampler being idle."""
    about = storage_of(study).get_trial_system_attrs(trial_id_of(trial)).get(_ATTR, {})
    return bool(about.get("drawn"))


class Lattice(Protocol):
    """What the sampler needs of a ``spaces.Space``."""

    @property
    def groups(self) -> Sequence[ChannelGroup]: ...

    def project(self, proposal: Policy, budget: Budget, /) -> Policy: ...


def distributions(space: Lattice) -> dict[str, IntDistribution]:
    """The widths as Optuna knows them: one integer a group, under the group's name."""
    return {g.name: IntDistribution(g.choices[0], g.choices[-1]) for g in space.groups}


def parameters(space: Lattice, criteria: Sequence[str]) -> dict[str, BaseDistribution]:
    """The whole search space: the widths and, if several are given, one of these criteria.

    Raises:
        ModelError: a group has the name that the criterion takes.
    """
    widths = distributions(space)
    if not criteria:
        return {**widths}
    if CRITERION in widths:
        raise ModelError(
            f"--criterion search needs the name {CRITERION!r} for itself, but a module of the "
            "model has it; rename that module, or give one criterion"
        )
    return {**widths, CRITERION: CategoricalDistribution(criteria)}


class BudgetSampler(BaseSampler):
    """Widths from ``inner``, projected onto the trial's budget.

    >>> sampler = BudgetSampler(make("tpe", Plan(seed=0, trials=48)), space, budgets, seed=0)
    >>> study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    >>> trial = study.ask({**distributions(space)})
    >>> space.flops(Policy(trial.params)) <= budgets[0].limit(space.full_flops)
    True

    With several budgets trial ``n`` gets budget ``n mod len(budgets)``. What the inner sampler
    leaves open (its start-up trials) is drawn here, uniformly, before projecting: Optuna's own
    fallback would sample each group by itself and miss the budget. A proposal that was tried
    before is replaced by such a draw, because projection maps many proposals onto one policy.
    The proposal is kept with the trial: one that a kill cut short gets the same widths again.
    The inner sampler sees a bounded part of a long study (``search.policies.memory``), so that a
    proposal costs the same after 10,000 trials as after 500.

    Args:
        inner: any Optuna sampler that handles two objectives.
        space: the groups and ``project``.
        budgets: parsed and reachable.
        seed: of the draws made here.
        criteria: those that are searched beside the widths, if any.
    """

    def __init__(
        self,
        inner: BaseSampler,
        space: Lattice,
        budgets: Sequence[Budget],
        *,
        seed: int,
        criteria: Sequence[str] = (),
    ) -> None:
        self._inner = inner
        self._space = space
        self._budgets = tuple(budgets)
        self._seed = seed
        self._criteria = tuple(criteria)
        self._distributions: dict[str, BaseDistribution] = parameters(space, criteria)
        self._memories: dict[str, Memory] = {}

    def __getstate__(self) -> dict[str, Any]:
        # What is remembered follows from the study, and a copy need not carry its trials about.
        return self.__dict__ | {"_memories": {}}

    def budget(self, number: int) -> Budget:
        """The budget of a sampled trial."""
        return self._budgets[number % len(self._budgets)]

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """All groups, always: the widths of a policy belong together, and its criterion to them."""
        return self._distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """A policy on the lattice, at or under the trial's budget."""
        attrs = trial.system_attrs
        if _ATTR not in attrs:
            params, drawn = self._propose(study, trial)
            about: Any = {"params": params, "drawn": drawn}
            storage_of(study).set_trial_system_attr(trial_id_of(trial), _ATTR, about)
            return params
        return dict(attrs[_ATTR]["params"])

    def _propose(self, study: Study, trial: FrozenTrial) -> tuple[dict[str, Any], bool]:
        """A policy with its criterion, and whether all of it was drawn at random."""
        # Inner samplers do not expect parameters with one possible value in a relative space.
        open_ = {name: d for name, d in self._distributions.items() if not d.single()}
        trials = study.get_trials(deepcopy=False)
        memory = self._memories.setdefault(study.study_name, Memory(list(self._distributions)))
        memory.update(trials)
        view = cast(Study, View(study, trials, memory.shown(trials)))
        proposal = self._inner.sample_relative(view, trial, open_) if open_ else {}
        rng = np.random.default_rng([self._seed, trial.number])
        for _ in range(_ATTEMPTS):
            params = self._complete(proposal, trial.number, rng)
            if not memory.tried(params):
                break
            proposal = {}
        return params, not proposal

    def _complete(
        self, proposal: Mapping[str, Any], number: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        drawn: dict[str, Any] = {g.name: int(rng.choice(g.choices)) for g in self._space.groups}
        if self._criteria:
            drawn[CRITERION] = self._criteria[rng.integers(len(self._criteria))]
        whole = drawn | dict(proposal)
        widths = Policy({g.name: int(whole[g.name]) for g in self._space.groups})
        projected = self._space.project(widths, self.budget(number))
        return {**projected} | {name: whole[name] for name in whole if name == CRITERION}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """For parameters that are no groups: as the inner sampler does it."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passed on."""
        self._inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Passed on; the draws made here depend on the trial's number alone."""
        self._inner.reseed_rng()


class Anew(BaseSampler):
    """A sampler built anew for every trial, from the trial's number.

    >>> Anew(lambda number: RandomSampler(seed=number))

    What a trial is proposed then depends on the study alone and not on how many proposals this
    process has made before: a resumed run proposes what the uninterrupted one would have.
    """

    def __init__(self, build: Callable[[int], BaseSampler]) -> None:
        self._build = build
        self._now = build(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._now = self._build(trial.number)
        self._now.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._now.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._now.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return self._now.sample_independent(study, trial, name, distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._now.after_trial(study, trial, state, values)


@dataclass(frozen=True)
class Plan:
    """What a sampler may adapt itself to: the run's seed, its trials, how many run at once."""

    seed: int
    trials: int
    workers: int = 1

    @property
    def population(self) -> int:
        """Of an evolutionary sampler: Optuna's 50, or what leaves a short run four generations."""
        return max(4, min(50, self.trials // 4))


class Quasi(samplers.QMCSampler):
    """QMC that counts through a choice: Optuna's own knows numbers only."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        choices = {
            name: d.choices
            for name, d in search_space.items()
            if isinstance(d, CategoricalDistribution)
        }
        places = {name: IntDistribution(0, len(each) - 1) for name, each in choices.items()}
        found = super().sample_relative(study, trial, {**search_space, **places})
        return found | {name: each[found[name]] for name, each in choices.items()}


# The liar keeps proposals that run at the same time apart; one worker alone needs none. The
# sequence of qmc is one for the whole run: its place in it is kept in the study.
SAMPLERS: dict[str, Callable[[Plan, int], BaseSampler]] = {
    "gp": lambda _, seed: samplers.GPSampler(seed=seed),
    "nsga2": lambda plan, seed: samplers.NSGAIISampler(population_size=plan.population, seed=seed),
    "nsga3": lambda plan, seed: samplers.NSGAIIISampler(population_size=plan.population, seed=seed),
    "qmc": lambda plan, _: Quasi(scramble=True, seed=plan.seed, warn_independent_sampling=False),
    "random": lambda _, seed: samplers.RandomSampler(seed=seed),
    "tpe": lambda plan, seed: samplers.TPESampler(
        multivariate=True, constant_liar=plan.workers > 1, seed=seed
    ),
}


def make(name: str, plan: Plan) -> BaseSampler:
    """The Optuna sampler of that name, ready for ``BudgetSampler``.

    >>> make("tpe", Plan(seed=0, trials=48))

    Raises:
        UserError: no such sampler; the nearest name is given.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)

    return Anew(partial(_built, name, plan))


def _built(name: str, plan: Plan, number: int) -> BaseSampler:
    with warnings.catch_warnings():
        # "experimental" says that Optuna may change an argument, not that a result is doubtful.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](plan, trial_seed(plan.seed, number))
