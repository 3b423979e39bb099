"""What proposes the policies of a search: its starts, and the sampler that goes on from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prune_ops.sensitivities.repaired_damage import terms
from prune_ops.surgery.reconstruct import Reconstruct
from search.evaluation.repairing import shortage
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import POOL, AllScores, Start, start_budget_warning, starts
from search.policies.surrogate import TABLE, Tables
from search.study.extent import Extension, turns
from search.task.prepare import Prepared
from search.training.modes import MODES

SHARE_OF_POOL = 8
"""One trial in so many may be a start that was solved from the damage table."""


def sampler(run: Prepared, scores: AllScores, extensions: Sequence[Extension]) -> BudgetSampler:
    policies, searched, since = run.config.policies, run.config.searched, turns(extensions)
    tables = None
    if TABLE in scores:
        damages, rank_by = terms(run.space, scores[TABLE]), run.config.judging.rank_by
        tables = Tables(run.space, damages, run.budgets, rank_by, searched, since)
    trials = extensions[0].trials if extensions else policies.trials
    shared = run.config.run.storage is not None  # other processes work on the study too
    plan = Plan(policies.seed, trials, run.engine.at_once + shared, tables)
    inner = make(policies.sampler, plan)
    return BudgetSampler(
        inner, run.space, run.budgets, seed=policies.seed, criteria=searched, turns=since
    )


def chosen_starts(run: Prepared, scores: AllScores) -> list[Start]:
    ranked = {name: scores[name] for name in run.config.policies.starts}
    pool = run.config.policies.trials // (SHARE_OF_POOL * len(run.budgets))
    return starts(run.space, ranked, run.budgets, run.config.searched, min(pool, POOL))


def told_starts(run: Prepared, scores: AllScores) -> list[Start]:
    chosen = chosen_starts(run, scores)
    for warning in known_before(run, len(chosen)):
        run.progress.warn(warning)
    return chosen


def known_before(run: Prepared, starts: int) -> Iterator[str]:
    """What is known before the first trial; said then and again in the report."""
    if warning := start_budget_warning(starts, run.config):
        yield warning
    training = run.config.training
    repairs = training.surgery == Reconstruct.name and not MODES[training.train].scratch
    if repairs and (warning := shortage(run.task, run.space)):
        yield warning
