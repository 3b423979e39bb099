"""The samplers by name, as a run sets them up; ``SAMPLERS`` is their table."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna import samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.policies import SAMPLERS
from search.policies.seeds import trial_seed
from search.policies.surrogate import SurrogateSampler, Tables
from spaces.errors import UserError, unknown


@dataclass(frozen=True)
class Plan:
    """What a sampler is set up for.

    Attributes:
        seed: the run's.
        trials: of the whole run, as it was begun.
        workers: trials that run at once.
        tables: what the surrogate begins with; None for samplers that know nothing of networks.
    """

    seed: int
    trials: int
    workers: int = 1
    tables: Tables | None = None

    @property
    def population(self) -> int:
        """Of an evolutionary sampler: Optuna's 50, or fewer for four generations in a short run."""
        return max(4, min(50, self.trials // 4))


def make(name: str, plan: Plan) -> Callable[[int], BaseSampler]:
    """Builds the Optuna sampler of that name for a trial, as ``BudgetSampler`` takes it.

    Raises:
        UserError: no such sampler; the nearest name is given.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    return partial(_built, name, plan)


def _built(name: str, plan: Plan, number: int) -> BaseSampler:
    with warnings.catch_warnings():
        # "experimental" says that Optuna may change an argument, not that a result is doubtful.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](plan, trial_seed(plan.seed, number))


def gp(_plan: Plan, seed: int) -> BaseSampler:
    """Gaussian process of the accuracy; slow beyond some hundred trials."""
    return samplers.GPSampler(seed=seed)


def nsga2(plan: Plan, seed: int) -> BaseSampler:
    """Genetic algorithm on accuracy and FLOPs (Deb et al. 2002)."""
    return samplers.NSGAIISampler(population_size=plan.population, seed=seed)


def nsga3(plan: Plan, seed: int) -> BaseSampler:
    """As nsga2, with reference points that spread the front."""
    return samplers.NSGAIIISampler(population_size=plan.population, seed=seed)


def qmc(plan: Plan, _seed: int) -> BaseSampler:
    """A sequence that covers all widths evenly, without learning."""
    return Quasi(scramble=True, seed=plan.seed, warn_independent_sampling=False)


def random(_plan: Plan, seed: int) -> BaseSampler:
    """Every width as likely as any other."""
    return samplers.RandomSampler(seed=seed)


def surrogate(plan: Plan, seed: int) -> BaseSampler:
    """Learns what each width costs, and solves for the best widths."""
    if plan.tables is None:
        raise UserError("sampler 'surrogate' needs a damage table, but the plan has no tables")
    return SurrogateSampler(plan.tables, seed)


def tpe(plan: Plan, seed: int) -> BaseSampler:
    """Models where good trials lie and where bad ones do (Parzen).

    Tree-structured Parzen estimators of good and bad trials, over all groups together.

    The constant liar keeps proposals of several workers apart; a single one needs none.
    """
    return samplers.TPESampler(multivariate=True, constant_liar=plan.workers > 1, seed=seed)


class Quasi(samplers.QMCSampler):
    """QMC that also samples a categorical parameter; Optuna's own samples numbers only."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        choices = {
            name: d.choices
            for name, d in search_space.items()
            if isinstance(d, CategoricalDistribution)
        }
        indices = {name: IntDistribution(0, len(c) - 1) for name, c in choices.items()}
        params = super().sample_relative(study, trial, {**search_space, **indices})
        return params | {name: c[params[name]] for name, c in choices.items()}
