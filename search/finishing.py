"""What a search does after its trials: networks are trained to the end, timed, and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from results import load_records, store
from results.decision import decisions, model_name
from results.run import left_behind
from results.text import listed
from search.evaluation.jobs import DIVERGED
from search.flops_check import flops_check
from search.forecast import TRAININGS
from search.plans.compression_baselines import CompressionBaselines
from search.plans.finals import Finals, SavedNetworks, also_named, finalists
from search.plans.gains import GainSteps
from search.plans.repeats import Repeats
from search.session import Session
from search.speed import speeds
from search.training.trainer import carry_out

MOST_FAILURES = 3
"""Of final trainings, that the terminal names; the report has them all."""


def train(s: Session) -> list[str]:
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
    for line in told_failures(failures, evaluator.specs.own_loop):
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


def told_failures(failures: Sequence[str], own_loop: bool) -> Iterator[str]:
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
