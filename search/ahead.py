"""What is ahead of a search that has begun: its stages, how long they take, its learning rates."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from prune_ops import WAYS
from results import load_records, store
from search import gpu_memory, remaining, sweeping
from search.forecast import TRIALS, measured_speed, told
from search.plans.sweep import Sweep
from search.remaining import Following
from search.session import Session
from search.time_limit import TimeLimit, no_trials


def forecast(s: Session, limit: TimeLimit) -> TimeLimit:
    """Say how long the rest of the command will take, and begin to show its progress.

    Returns:
        The limit, with a reserve for what follows the trials.
    """
    progress = s.run.progress
    progress.waiting("measuring how long a training takes")
    speed = measured_speed(s.evaluator, s.run.budgets[0], s.run.engine)
    rest, sweep, at_once = following(s), sweep_of(s), s.run.engine.at_once
    progress.begin(remaining.stages(rest, speed, sweep, at_once))
    limit = limit.reserving(partial(progress.stages.seconds_left, after=TRIALS))
    if cannot_try := limit.reached and rest.to_come > 0:
        progress.begin(remaining.stages(replace(rest, tries=False), speed, sweep, at_once))
    progress.stages[TRIALS].ends_at = limit.ends_at - limit.reserve()
    progress.say(told(progress.stages, progress.seconds))
    if s.run.config.run.engine == "local":
        gpu_memory.tell(progress, s.run.task.device, s.run.engine.at_once)
    if cannot_try:
        progress.warn(no_trials(progress.stages.seconds_left(), limit))
    return limit


def following(s: Session) -> Following:
    """The trainings that follow the trials of a run."""
    study = s.opened.study
    return Following(
        evaluator=s.evaluator,
        budgets=s.run.budgets,
        trainer=s.trainer(),
        records=load_records(study),
        repeated=store.load(study, store.REPEATS),
        compressed=sum(row.way in WAYS for row in store.load(study, store.BASELINES)),
    )


def sweep_of(s: Session) -> Sweep | None:
    """The sweep of learning rates that a run still needs."""
    return sweeping.missing(s.evaluator, s.run.budgets, s.opened)


def with_rates(s: Session) -> Session:
    """The session with the learning rates of the run."""
    if (plan := sweep_of(s)) is None:
        return s
    rates = sweeping.found(plan, s.opened, s.trainer, s.run.progress)
    return replace(s, evaluator=replace(s.evaluator, rates=rates))
