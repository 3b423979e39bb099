"""Does a sampler that is shown 512 trials find less?  ``python benchmarks/sampler_bound.py``

Searches a made-up objective twice with the same seed, bounded and with the whole study in view:
accuracy falls with every group's width at a rate of its own, and pairs of groups interact. Half of
the trials stop, on a noisy proxy. Prints what the bound changed, each seed and on average: the best
true accuracy at every budget, in points, and the hypervolume of all that was trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

import numpy as np
import optuna
import torch
from optuna.trial import TrialState
from studies import discovered

from results import pareto
from search.policies import memory
from search.policies.parameters import distributions
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from spaces import Budget, Policy, Space

BUDGETS = [Budget.parse(budget) for budget in ("0.7", "0.5", "0.3")]
SHOWN = memory.SHOWN


def objective(space: Space, seed: int) -> Callable[[Mapping[str, int]], float]:
    """True accuracy of a policy, 0.95 unpruned."""
    rng, groups = np.random.default_rng([77, seed]), len(space.groups)
    top = np.array([float(group.choices[-1]) for group in space.groups])
    share = rng.lognormal(0, 1, groups)
    share /= share.sum()
    power, pairs = rng.uniform(1, 4, groups), rng.integers(0, groups, (groups, 2))
    force = rng.normal(0, 0.3 / groups, groups)

    def accuracy(widths: Mapping[str, int]) -> float:
        cut = 1 - np.array([widths[group.name] for group in space.groups]) / top
        together = force * cut[pairs[:, 0]] * cut[pairs[:, 1]]
        return float(0.95 - 0.6 * (share * cut**power).sum() + together.sum())

    return accuracy


def searched(space: Space, name: str, seed: int, trials: int, shown: int) -> list[float]:
    """Best true accuracy at each budget, then the hypervolume."""
    memory.SHOWN = shown
    sampler = BudgetSampler(make(name, Plan(seed, trials)), space, BUDGETS, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    accuracy, noise = objective(space, seed), np.random.default_rng([5, seed])
    proxies: list[list[float]] = [[] for _ in BUDGETS]
    best, points = [0.0] * len(BUDGETS), []
    for number in range(trials):
        trial, which = study.ask({**distributions(space)}), number % len(BUDGETS)
        true = accuracy(trial.params)
        measured, proxy = true + noise.normal(0, 0.002), true + noise.normal(0, 0.01)
        poor = bool(proxies[which]) and proxy < np.median(proxies[which])
        stops = poor and noise.random() > 0.1
        proxies[which].append(proxy)
        if stops:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        flops = float(space.flops(Policy(trial.params)))
        study.tell(trial, (measured, flops))
        best[which] = max(best[which], true)
        points.append((flops / space.full_flops, true))
    return [*best, pareto.hypervolume(points, (1.0, 0.5))]


def main() -> None:
    """Print one line a seed, then mean and standard deviation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="digits_cnn")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--trials", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, changes = discovered(options.model), []
    for seed in range(options.seeds):
        how = (space, options.sampler, seed, options.trials)
        bounded, whole = searched(*how, shown=SHOWN), searched(*how, shown=sys.maxsize)
        changes.append(np.subtract(bounded, whole) * [100, 100, 100, 1])
        print(f"seed {seed}: {changes[-1].round(4)}  of {np.round(whole, 4)}", flush=True)
    print(f"mean   {np.mean(changes, axis=0).round(4)}")
    print(f"spread {np.std(changes, axis=0, ddof=1).round(4)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
