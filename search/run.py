"""A search, from a task and a budget to the Pareto front. Read ``_search`` top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

import results
from prune_ops import WAYS
from prune_ops.sensitivities.repaired_damage import terms
from prune_ops.surgery.reconstruct import Reconstruct
from results import Provenance, Run, SpaceRecord, TrialRecord, load_records, store, write_tables
from results.decision import decisions, model_name
from results.run import left_behind
from results.text import listed, plural
from search import gpu_memory, log, remaining, sweeping
from search.engines import Engine
from search.evaluation.jobs import DIVERGED
from search.evaluation.repairing import shortage
from search.evaluation.scoring import sensitivity_records
from search.flops_check import flops_check
from search.folder import Folder, resolve_folder
from search.forecast import TRAININGS, TRIALS, measured_speed, told
from search.loggers.logger import Logger
from search.plans.compression_baselines import CompressionBaselines
from search.plans.finals import Finals, SavedNetworks, also_named, finalists
from search.plans.gains import GainSteps
from search.plans.repeats import Repeats
from search.plans.sweep import Sweep
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import POOL, AllScores, Start, start_budget_warning, starts
from search.policies.surrogate import TABLE, Tables
from search.progress import Progress
from search.provenance import metric_info, provenance, tested
from search.remaining import Following
from search.session import Session, engine_of, session, told_of
from search.speed import speeds
from search.study.extent import (
    Cut,
    Extension,
    cut_now,
    end,
    ended,
    extensions,
    grown_when_tested,
    turns,
)
from search.study.open import going_on, unchanged
from search.task.fit import Check, savable
from search.task.prepare import Prepared, prepare
from search.task.task import Task
from search.time_limit import TimeLimit, no_trials
from search.training.modes import MODES
from search.training.trainer import carry_out
from spaces import Space

SHARE_OF_POOL = 8
"""One trial in so many may be a start that was solved from the damage table."""

MOST_FAILURES = 3
"""Of final trainings, that the terminal names; the report has them all."""


def search(
    task: Task | None = None,
    budget: float | str | Sequence[float | str] | None = None,
    trials: int | None = None,
    loggers: Sequence[Logger] = (),
    **options: Any,
) -> Run:
    """Search pruning policies for a task; the run is kept in ``runs/<name>/``.

    >>> run = search(build_task("digits_small", "digits"), budget=0.5, trials=48)
    >>> run.front[["flops_fraction", "val_accuracy", "test_accuracy"]]

    Args:
        task: what is pruned; without one it is built from ``model``, ``data`` and ``weights``.
        budget: the most flops to keep, as a fraction or absolute (``"60M"``), or several; 0.5 by
            default. With ``resume``, further ones.
        trials: how many policies to try; 48 by default. With ``resume``, how many in all.
        loggers: are told of the run while it goes on, besides those that ``log`` names.
        options: every flag of ``python search.py --help`` under its name, ``rungs=(1, 3)`` say.

    Raises:
        UserError: an invalid option; one line says what must hold and what was given.
        SearchStopped: three trials in a row failed in the same way.
    """
    given = {"budget": budget, "trials": trials}
    given = {name: value for name, value in given.items() if value is not None}
    return execute(resolve_folder({**given, **options}), task, loggers=loggers)


def execute(
    folder: Folder,
    task: Task | None = None,
    progress: Progress | None = None,
    checks: Sequence[Check] = (),
    distils: bool = False,
    loggers: Sequence[Logger] = (),
) -> Run:
    """Run the search in a folder, or what is left of one that was cut short there.

    Args:
        checks: further checks of the network, made before anything is trained.
        distils: whether it will be distilled from later, whatever this search does.
        loggers: besides those that the config names.
    """
    limit = TimeLimit.of(folder.config.run.max_hours)
    with told_of(folder, loggers, progress):
        progress = progress or Progress()
        # The engine first: a wrong address is refused at once.
        with engine_of(folder, progress, lambda: folder.resume_command) as engine:
            cut = _search(folder, engine, task, progress, limit, checks, distils)
        run = results.load(folder.path, folder.config.run.storage)
        progress.waiting("writing the report")
        run.report()
        if cut is None:
            folder.finish()
        log.finished(run)
    return run


def _search(
    folder: Folder,
    engine: Engine,
    task: Task | None,
    progress: Progress,
    limit: TimeLimit,
    checks: Sequence[Check],
    distils: bool,
) -> Cut | None:
    """How the time limit cut it short; None if all trials were tried."""
    checks = unchanged(folder), savable, *checks, _tells_going_on(folder, progress)
    run = prepare(folder, engine, task, progress, *checks, distils=distils)
    about = provenance(folder.path.name, run.config, run.task, run.space, run.budgets)
    about = replace(about, warnings=run.doubts)
    if task is None:
        about = replace(about, command=folder.config.command)
    else:
        about = replace(about, fresh="")
    with (
        session(run, "checkpoints", partial(_told_starts, run), partial(_sampler, run)) as s,
        _provenance_kept(s, about) as keep,
    ):
        s.tell_begun(about)
        limit = _forecast(s, limit)
        s = _with_rates(s)
        cut = _run_trials(s, limit)
        done = partial(ended, s.opened.study, run.config)
        with s.peers.exclusively("trains the finals", done, progress.say) as is_ours:
            if is_ours:
                checked = (*_train(s), *_caveats(s))
                warned = run.doubts if cut is None else (*run.doubts, cut.sentence)
                keep(folder=folder.owner.partition("#")[0], checks=checked, warnings=warned)
                end(s.opened.study, run.config, cut)
        s.evaluator.checkpoints.clear()
        s.peers.outbox.clear()
    return cut


def _tells_going_on(folder: Folder, progress: Progress) -> Check:
    """The last check, as what is refused is told in one line: says that a run is gone on with."""

    def tell(_model: nn.Module, _space: Space) -> None:
        if line := going_on(folder):
            progress.say(line)

    return tell


def _forecast(s: Session, limit: TimeLimit) -> TimeLimit:
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


def _with_rates(s: Session) -> Session:
    """The session with the learning rates of the run."""
    if (plan := sweep_of(s)) is None:
        return s
    rates = sweeping.found(plan, s.opened, s.trainer, s.run.progress)
    return replace(s, evaluator=replace(s.evaluator, rates=rates))


def _run_trials(s: Session, limit: TimeLimit) -> Cut | None:
    """Run the trials; how the limit cut them short, if it did."""
    trials, progress = s.run.config.policies.trials, s.run.progress
    scores = [r.val_accuracy for r in load_records(s.opened.study) if r.state == "complete"]
    metric = metric_info(s.run.task.metric)

    def watch(record: TrialRecord) -> None:
        if record.state == "complete":
            scores.append(record.val_accuracy)
        best = f"best {metric.with_unit(max(scores))}" if scores else "none complete"
        progress.advance(TRIALS, steps=record.state != "running", note=best)
        log.ended(record)

    work = partial(s.run.engine.run, s.opened, s.evaluator, trials, watch, limit)
    s.peers.until_ended(trials, work, progress.say, limit)
    if (cut := cut_now(s.opened.study, s.run.config)) is not None:
        progress.stages[TRIALS].cut_short()
        progress.warn(cut.sentence)
    return cut


def _train(s: Session) -> list[str]:
    """Train repeats, finals and what they are compared with to the end; the checks of them."""
    study, evaluator, trainer = s.opened.study, s.evaluator, s.trainer()
    records = load_records(study)
    again = Repeats(records, evaluator, store.load(study, store.REPEATS))
    stored = store.load(study, store.FINALS)
    tested = next((final for final in stored if final.role == "baseline"), None)
    front = Finals(finalists(records, evaluator, s.run.budgets), evaluator, tested)
    tick = partial(s.run.progress.advance, TRAININGS)
    networks = SavedNetworks(front, s.run.folder.path / "models")
    if s.peers.shared:  # the finals so far may be those of another process
        _, _, before = store.load(study, store.PROVENANCE).folder.partition(":")
        networks.copy_from(Path(before) / "models", trainer.known)
    if lost := networks.lost(trainer.known):
        s.run.progress.warn(
            f"{listed(lost)} in {s.run.folder.path} must hold what was trained, but "
            f"{'is' if len(lost) == 1 else 'are'} missing or damaged: trained again"
        )
    steps = GainSteps(front)
    missing = [*trainer.missing([*again.jobs, *steps.jobs]), *trainer.missing(front.jobs, networks)]
    s.run.progress.resize(TRAININGS, len(missing))
    carry_out(again, trainer, partial(store.save, study, store.REPEATS), tick)
    trained = carry_out(front, trainer, partial(store.save, study, store.FINALS), tick, networks)
    _deliver(s, front, networks)
    failures = list(front.failures(trainer.known))
    for line in _told_failures(failures, evaluator.specs.own_loop):
        s.run.progress.warn(line)
    checks = [*flops_check(trained, evaluator), *failures]
    if s.run.config.training.gains:
        trainer.offer(steps.sources)
        carry_out(steps, trainer, partial(store.save, study, store.GAINS), tick)
        checks += steps.failures(trainer.known)
    if s.run.config.training.compression_baselines:
        compressed = CompressionBaselines(trained, evaluator)
        missing += trainer.missing(compressed.jobs)
        s.run.progress.resize(TRAININGS, len(missing))
        carry_out(compressed, trainer, partial(store.save, study, store.BASELINES), tick)
        checks += compressed.failures(trainer.known)
    return checks


def _told_failures(failures: Sequence[str], own_loop: bool) -> Iterator[str]:
    """What the terminal says of finals that could not be trained, and what to do."""
    yield from failures[:MOST_FAILURES]
    if (more := len(failures) - MOST_FAILURES) > 0:
        yield f"and {more} more"
    if any(f": {DIVERGED}: " in line for line in failures):
        lower = "lower it in the training loop" if own_loop else "give a lower --lr"
        yield f"where a final training diverged, its learning rate was too high: {lower}"


def _deliver(s: Session, front: Finals, networks: SavedNetworks) -> None:
    """Measure how long the networks that compete take, and name those to ship."""
    study, folder = s.opened.study, s.run.folder.path
    rivals, timed = front.rivals(), store.load(study, store.SPEEDS)
    if rivals.keys() - {speed.name for speed in timed}:
        s.run.progress.waiting("measuring the time of the networks")
        batch = s.run.config.policies.latency_batch
        store.save(study, store.SPEEDS, speeds(rivals, s.run.task.example, batch))
    networks.save_unpruned()
    run = left_behind(study, folder)
    for decision in decisions(run):
        also_named(folder / "models", model_name(run, decision), decision.source)


def _caveats(s: Session) -> Iterator[str]:
    """What a reader should know before believing the figures."""
    config, about = s.run.config, metric_info(s.run.task.metric)
    yield from _warnings(s.run, len(_starts(s.run, s.scores)))
    if extended := extensions(s.opened.study):
        size = config.policies.trials, len(config.policies.budget)
        resized = any((extension.trials, extension.budgets) != size for extension in extended)
        other = ": one that is begun at its present size will propose other policies"
        yield (
            f"the run was begun with {plural(extended[0].trials, 'trial')} and extended"
            f"{other if resized else ''}"
        )
    if how := grown_when_tested(s.opened.study):
        yield (
            f"the run was {how} when the test {about.values} of its finals were known: whoever "
            "goes on for that reason until a result pleases will find one that does"
        )
    if config.task.weights is not None:
        yield (
            f"the weights were given: if they were trained on {about.items} that are now in the "
            f"validation split, validation {about.values} flatter; test {about.values} do not"
        )


def _sampler(run: Prepared, scores: AllScores, extensions: Sequence[Extension]) -> BudgetSampler:
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


def _starts(run: Prepared, scores: AllScores) -> list[Start]:
    ranked = {name: scores[name] for name in run.config.policies.starts}
    pool = run.config.policies.trials // (SHARE_OF_POOL * len(run.budgets))
    return starts(run.space, ranked, run.budgets, run.config.searched, min(pool, POOL))


def _told_starts(run: Prepared, scores: AllScores) -> list[Start]:
    chosen = _starts(run, scores)
    for warning in _warnings(run, len(chosen)):
        run.progress.warn(warning)
    return chosen


def _warnings(run: Prepared, starts: int) -> Iterator[str]:
    """What is known before the first trial; said then and again in the report."""
    if warning := start_budget_warning(starts, run.config):
        yield warning
    training = run.config.training
    repairs = training.surgery == Reconstruct.name and not MODES[training.train].scratch
    if repairs and (warning := shortage(run.task, run.space)):
        yield warning


@contextmanager
def _provenance_kept(s: Session, about: Provenance) -> Iterator[Callable[..., None]]:
    """Save provenance and tables at the end of the block, however it ends, and at each call."""
    study, folder, began = s.opened.study, s.run.folder.path, time.time()
    before = store.load(study, store.PROVENANCE)
    started = before.started or time.strftime("%Y-%m-%d %H:%M")
    about = replace(about, started=started, folder=before.folder)

    def keep(**changes: Any) -> None:
        nonlocal about
        seconds = (before.seconds or 0.0) + time.time() - began
        about = replace(tested(about, left_behind(study, folder)), seconds=seconds, **changes)
        store.save(study, store.PROVENANCE, about)

    if s.peers.is_leader:
        measured = sensitivity_records(s.run.space, s.run.config, s.scores)
        store.save(study, store.PROVENANCE, about)
        store.save(study, store.SENSITIVITY, measured)
        store.save(study, store.SPACE, SpaceRecord.of(s.run.space, s.run.latency))
    try:
        yield keep
    finally:
        if s.peers.is_leader:
            keep()
        write_tables(folder, left_behind(study, folder))
