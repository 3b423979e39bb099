"""The learning rates of a search: found before its first trial, and kept for all its processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from results import chosen_rates, load_records, store
from results.training import RATES
from search.evaluation.evaluator import Evaluator
from search.plans.sweep import Sweep, of_search, told
from search.progress import Progress
from search.study.peers import OpenStudy
from search.training.trainer import Trainer, carry_out
from spaces import Budget


def missing(evaluator: Evaluator, budgets: Sequence[Budget], opened: OpenStudy) -> Sweep | None:
    """The sweep that is still to be done; None where the run has its rates.

    So has one of an older version that has begun: it goes on at the rate it had.
    """
    plan, swept = of_search(evaluator, budgets), store.load(opened.study, store.RATES)
    begun = bool(load_records(opened.study)) and not swept
    return None if plan is None or begun or plan.is_done(swept) else plan


def found(
    plan: Sweep, opened: OpenStudy, trainer: Callable[[], Trainer], progress: Progress
) -> dict[tuple[str, int], float]:
    """The rates that the sweep, made by this process or another one, chooses; says them."""
    study = opened.study
    keep, tick = partial(store.save, study, store.RATES), partial(progress.advance, RATES)

    def done() -> bool:
        return plan.is_done(store.load(study, store.RATES))

    with opened.peers.exclusively("finds the learning rates", done, progress.say) as is_ours:
        if is_ours:
            carry_out(plan, trainer(), keep, tick)
    rates = chosen_rates(store.load(study, store.RATES))
    for line in told(rates):
        progress.say(line)
    return rates
