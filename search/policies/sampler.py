"""BudgetSampler: an Optuna sampler that makes any other propose policies within the budget only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from results.optuna_private import storage_of, trial_id_of
from search.policies.memory import StudyWindow, TrialWindow
from search.policies.parameters import CRITERION, budget_of, parameters
from spaces import Budget, Policy, Space

_ATTR = "budget_sampler"
_ATTEMPTS = 20


def drawn(study: Study, trial: Trial | FrozenTrial) -> bool:
    """Whether ``BudgetSampler`` itself drew that trial's widths, not its inner sampler."""
    about = storage_of(study).get_trial_system_attrs(trial_id_of(trial)).get(_ATTR, {})
    return bool(about.get("drawn"))


class BudgetSampler(BaseSampler):
    """Widths from ``inner``, projected onto the trial's budget, and the criterion if searched.

    >>> sampler = BudgetSampler(make("tpe", Plan(seed=0, trials=48)), space, budgets, seed=0)
    >>> study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    >>> trial = study.ask({**distributions(space)})
    >>> space.flops(Policy(trial.params)) <= budgets[0].limit(space.full_flops)
    True

    With several budgets, each has its turn (`budget_of`). What the inner sampler
    leaves open (its start-up trials) is drawn here, uniformly, before projecting: Optuna's own
    fallback would sample each group by itself and miss the budget. A proposal that was tried
    before is replaced by such a draw, because projection maps many proposals onto one policy.
    The proposal is stored with the trial, so a trial that was killed gets the same widths again.
    The inner sampler is built anew for every trial: a proposal depends on the study alone and not
    on how many this process has made before, so a resumed run proposes what the uninterrupted one
    would have. It sees a bounded part of a long study (``search.policies.memory``), so that a
    proposal costs the same after 10,000 trials as after 500.

    Args:
        inner: builds the Optuna sampler of a trial, which must handle two objectives.
        budgets: parsed and reachable.
        seed: of the draws made here.
        criteria: those that are searched along with the widths, if any.
        turns: as in `budget_of`.
    """

    def __init__(
        self,
        inner: Callable[[int], BaseSampler],
        space: Space,
        budgets: Sequence[Budget],
        *,
        seed: int,
        criteria: Sequence[str] = (),
        turns: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._build, self._inner = inner, inner(0)
        self._space, self._budgets = space, tuple(budgets)
        self._seed, self._criteria, self._turns = seed, tuple(criteria), tuple(turns)
        self._distributions: dict[str, BaseDistribution] = parameters(space, criteria)
        self._windows: dict[str, TrialWindow] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The windows follow from the study; a copy need not carry its trials.
        return self.__dict__ | {"_windows": {}}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
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
        window = self._windows.setdefault(study.study_name, TrialWindow(list(self._distributions)))
        window.update(trials)
        shown = cast(Study, StudyWindow(study, trials, window.shown(trials)))
        proposal = self._inner.sample_relative(shown, trial, open_) if open_ else {}
        rng = np.random.default_rng([self._seed, trial.number])
        for _ in range(_ATTEMPTS):
            params = self._complete(proposal, trial.number, rng)
            if not window.contains(params):
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
        criterion = {CRITERION: whole.pop(CRITERION)} if self._criteria else {}
        widths = Policy({name: int(width) for name, width in whole.items()})
        budget = budget_of(number, self._budgets, self._turns)
        return {**self._space.project(widths, budget), **criterion}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner = self._build(trial.number)
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._inner.after_trial(study, trial, state, values)
