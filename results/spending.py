"""What a run cost, in seconds and in training FLOPs, and what stopping early saved.

>>> for line in spent(run):
...     print(line.what, line.trainings, line.flops, line.seconds)

A training takes 3 × flops × images × epochs multiply-adds: a step is a forward pass and a backward
pass of twice its cost. Distillation adds one forward pass of the unpruned network for every image
of every epoch. Proxies and validation are counted in seconds only. Figures that a run did not leave
behind are ``None``, never guessed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from results.data import RunData
from results.record import TrialRecord
from results.rules import measurement, next_rung
from results.stops import once
from results.training import COMPARISON, PURPOSES, TrainingRecord, training_flops


@dataclass(frozen=True, slots=True)
class Spent:
    """What one part of a run took, or did not have to.

    Attributes:
        what: ``unpruned network``, ``proxies``, ``rung 1``, ..., or what trainings to the end were
            made for, as in `results.training.PURPOSES`; ``stopped by proxies`` or ``at rung 1``.
        trainings: how many networks were judged, trained or stopped.
        flops: multiply-adds of training; ``None`` where they are not known.
        seconds: summed over workers; ``None`` where they were not measured.
    """

    what: str
    trainings: int
    flops: int | None
    seconds: float | None


def spent(run: RunData) -> list[Spent]:
    """One line for every part of the run that was begun, in the order of the run."""
    lines = (*_unpruned(run), *_rungs(run), *_trainings(run.training_records))
    return [line for line in lines if line.trainings]


def times_tested(run: RunData) -> tuple[int, int]:
    """How often a trained network was tested, by the search and by the comparison."""
    tested = [r.purpose for r in run.training_records if r.tested]
    baseline = sum(len(f.test_accuracy) for f in run.finals if f.role == "baseline")
    compared = tested.count(COMPARISON)
    return baseline + len(tested) - compared, compared + run.compared.earlier_reads


def saved(run: RunData) -> list[Spent]:
    """One line for every rung where trials were stopped; none where the run did not say enough.

    It has the trainings at the rungs above, in seconds at the pace of those measured there. A
    policy that was proposed again counts once, and only if no trial took it further.
    """
    images, plan = run.provenance.train_images, run.provenance.settings.rungs
    if images is None or not plan:
        return []
    pace, teacher = _seconds_per_flop(run, images), _teacher(run)
    lines = []
    for rung in range(len(plan)):
        stopped = [r for r in once(run.records) if r.state == "stopped" and r.rung == rung]
        above = {
            k: sum(
                training_flops(r.flops, images, epochs_at(r, plan[k - 1]), teacher) for r in stopped
            )
            for k in range(rung + 1, len(plan) + 1)
        }
        paced = above.keys() <= pace.keys()
        seconds = sum(flops * pace[k] for k, flops in above.items()) if paced else None
        what = f"stopped at rung {rung}" if rung else "stopped by proxies"
        lines.append(Spent(what, len(stopped), sum(above.values()), seconds))
    return [line for line in lines if line.trainings]


def at_the_top_alone(run: RunData) -> int | None:
    """FLOPs that training every policy once, and only for the top rung's epochs, would have taken.

    Policies whose training failed or still goes on are left out, as in `trained_flops`.
    """
    images, plan = run.provenance.train_images, run.provenance.settings.rungs
    if images is None or not plan:
        return None
    return sum(
        training_flops(r.flops, images, epochs_at(r, plan[-1]), _teacher(run))
        for r in once(run.records)
        if r.state in ("stopped", "complete")
    )


def trained_flops(run: RunData) -> int | None:
    """FLOPs of all rungs of the trials that were stopped or complete."""
    images = run.provenance.train_images
    if images is None:
        return None
    paid = _paid([r for r in run.records if r.state in ("stopped", "complete")])
    return sum(_flops(run, r, rung, images) for r, rung in paid if rung)


def epochs_at(record: TrialRecord, planned: int) -> int:
    """The epochs of a rung for this policy: ``scratch-b`` stretches them to equal computation."""
    if record.mode != "scratch-b" or not record.flops_fraction:
        return planned
    return max(1, round(planned / record.flops_fraction))


def _unpruned(run: RunData) -> Iterator[Spent]:
    about = run.provenance
    if about.base_epochs and about.full_flops is not None and about.train_images is not None:
        flops = training_flops(about.full_flops, about.train_images, about.base_epochs)
        yield Spent("unpruned network", 1, flops, None)


def _rungs(run: RunData) -> Iterator[Spent]:
    every, images = _paid(run.records), run.provenance.train_images
    for rung in range(1 + max((rung for _, rung in every), default=-1)):
        paid = [r for r, k in every if k == rung]
        timed = [r.rung_seconds[rung] for r in paid if len(r.rung_seconds) > rung]
        seconds = sum(timed) if len(timed) == len(paid) else None
        counted = rung > 0 and images is not None
        flops = sum(_flops(run, r, rung, images or 0) for r in paid) if counted else None
        yield Spent(f"rung {rung}" if rung else "proxies", len(paid), flops, seconds)


def _trainings(records: Sequence[TrainingRecord]) -> Iterator[Spent]:
    """One line for every purpose, those that are not known here last."""
    for what in dict.fromkeys([*PURPOSES, *(r.purpose for r in records)]):
        made = [r for r in records if r.purpose == what]
        counted = all(r.training_flops or r.failure for r in made)
        flops = sum(r.training_flops for r in made) if counted else None
        seconds = sum(r.seconds for r in made)
        yield Spent(what, len(made), flops, None if math.isnan(seconds) else seconds)


def _paid(records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, int]]:
    """Every rung of a trial that was measured, not taken from another trial; failed ones too.

    Records from before rungs were timed leave only the rungs that have a result.
    """
    seen: set[tuple[Hashable, int]] = set()
    paid = []
    for r in records:
        for rung in range(max(next_rung(r), len(r.rung_seconds))):
            place = (measurement(r), rung)
            timed = rung < len(r.rung_seconds)
            if r.rung_seconds[rung] > 0 if timed else place not in seen:
                paid.append((r, rung))
            seen.add(place)
    return paid


def _teacher(run: RunData) -> int:
    """Flops of the network that the rungs are distilled from; 0 where they are not."""
    about = run.provenance
    return about.full_flops or 0 if about.settings.distill else 0


def _flops(run: RunData, record: TrialRecord, rung: int, images: int) -> int:
    """Of one training; 0 for one that failed, whose progress is unknown."""
    epochs = record.epochs[rung - 1] if rung <= len(record.epochs) else 0
    return training_flops(record.flops, images, epochs, _teacher(run))


def _seconds_per_flop(run: RunData, images: int) -> dict[int, float]:
    """Of each rung above 0 where trainings that succeeded were timed."""
    seconds: dict[int, float] = defaultdict(float)
    flops: dict[int, int] = defaultdict(int)
    for r, rung in _paid(run.records):
        if 0 < rung < len(r.rung_seconds) and rung <= r.rung:
            seconds[rung] += r.rung_seconds[rung]
            flops[rung] += _flops(run, r, rung, images)
    return {rung: seconds[rung] / flops[rung] for rung in seconds if flops[rung]}
