"""What a run cost, in seconds and in training FLOPs, and what stopping early saved.

>>> for line in spent(records, finals, provenance):
...     print(line.what, line.trainings, line.flops, line.seconds)
>>> for line in saved(records, provenance):
...     print(line.rung, line.trials, line.flops, line.seconds)

A training takes 3 × flops × images × epochs multiply-adds: a step is a forward pass and a backward
pass of twice its cost. Proxies and validation are counted in seconds only. Figures that a run did
not leave behind are ``None``, never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.arms import Comparison
from results.beside import BesideRecord, trainings
from results.record import FinalRecord, TrialRecord
from results.stops import once

STEP = 3
"""A training step in forward passes: the backward pass computes two products for one."""

Key = tuple[object, int, str]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one part of a run took.

    Attributes:
        what: ``unpruned network``, ``proxies``, ``rung 1``, ..., ``repeats``, ``finals``,
            ``beside``, ``sparse training`` or ``comparison``.
        trainings: how many networks were judged or trained.
        flops: multiply-adds of training; ``None`` where they are not known.
        seconds: summed over workers; ``None`` where they were not measured.
    """

    what: str
    trainings: int
    flops: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Saved:
    """What the trials that were stopped at one rung did not have to go through.

    Attributes:
        rung: where they were stopped; 0 means by proxies.
        trials: how many policies.
        flops: of the trainings at the rungs above.
        seconds: these flops at the seconds per FLOP measured at the same rungs; ``None`` where
            nothing was measured there.
    """

    rung: int
    trials: int
    flops: int
    seconds: float | None


def training_flops(flops: int, images: int, epochs: float) -> int:
    """Multiply-adds of a training of a network of ``flops``."""
    return round(STEP * flops * images * epochs)


def spent(
    records: Sequence[TrialRecord],
    finals: Sequence[FinalRecord],
    provenance: Mapping[str, Any],
    repeats: Sequence[TrialRecord] = (),
    compared: Comparison | None = None,
    others: Sequence[BesideRecord] = (),
) -> list[Spent]:
    """One line for every part of the run that was begun, in the order of the run."""
    images = provenance.get("train_images")
    compared = Comparison() if compared is None else compared
    lines = [
        _unpruned(provenance, images),
        *_rungs(records, images),
        _repeats(repeats, images),
        _finals(finals, images),
        _beside(others, images),
        _sparse(compared),
        _comparison(compared, images),
    ]
    return [line for line in lines if line is not None and line.trainings]


def saved(records: Sequence[TrialRecord], provenance: Mapping[str, Any]) -> list[Saved]:
    """One line for every rung where trials were stopped; none where the run did not say enough.

    A policy that was proposed again counts once, and only if no trial took it further.
    """
    images, plan = provenance.get("train_images"), _plan(provenance)
    if images is None or not plan:
        return []
    pace = _seconds_per_flop(records, images)
    lines = []
    for rung in range(len(plan)):
        stopped = [r for r in once(records) if r.state == "stopped" and r.rung == rung]
        above = {
            k: sum(training_flops(r.flops, images, epochs_at(r, plan[k - 1])) for r in stopped)
            for k in range(rung + 1, len(plan) + 1)
        }
        known = all(k in pace for k in above)
        seconds = sum(flops * pace[k] for k, flops in above.items()) if known else None
        lines.append(Saved(rung, len(stopped), sum(above.values()), seconds))
    return [line for line in lines if line.trials]


def at_the_top_alone(records: Sequence[TrialRecord], provenance: Mapping[str, Any]) -> int | None:
    """FLOPs that training every policy once, and only for the top rung's epochs, would have taken.

    Policies whose training failed or still goes on are left out, as in `trained_flops`.
    """
    images, plan = provenance.get("train_images"), _plan(provenance)
    if images is None or not plan:
        return None
    return sum(
        training_flops(r.flops, images, epochs_at(r, plan[-1]))
        for r in once(records)
        if r.state in ("stopped", "complete")
    )


def trained_flops(records: Sequence[TrialRecord], provenance: Mapping[str, Any]) -> int | None:
    """FLOPs of all rungs of the trials that were stopped or complete."""
    images = provenance.get("train_images")
    if images is None:
        return None
    paid = _paid([r for r in records if r.state in ("stopped", "complete")])
    return sum(_flops(r, rung, images) for r, rung in paid if rung)


def epochs_at(record: TrialRecord, planned: int) -> int:
    """The epochs of a rung for this policy: ``scratch-b`` stretches them to equal computation."""
    if record.mode != "scratch-b" or not record.flops_fraction:
        return planned
    return max(1, round(planned / record.flops_fraction))


def _unpruned(provenance: Mapping[str, Any], images: int | None) -> Spent | None:
    epochs, full = provenance.get("base_epochs"), provenance.get("full_flops")
    if not epochs or full is None or images is None:
        return None
    return Spent("unpruned network", 1, training_flops(full, images, epochs), None)


def _rungs(records: Sequence[TrialRecord], images: int | None) -> list[Spent]:
    paid = _paid(records)
    top = max((rung for _, rung in paid), default=-1)
    return [_rung(k, [r for r, rung in paid if rung == k], images) for k in range(top + 1)]


def _rung(rung: int, paid: Sequence[TrialRecord], images: int | None) -> Spent:
    timed = [r.rung_seconds[rung] for r in paid if len(r.rung_seconds) > rung]
    seconds = sum(timed) if len(timed) == len(paid) else None
    if rung == 0:
        return Spent("proxies", len(paid), None, seconds)
    flops = None if images is None else sum(_flops(r, rung, images) for r in paid)
    return Spent(f"rung {rung}", len(paid), flops, seconds)


def _repeats(repeats: Sequence[TrialRecord], images: int | None) -> Spent:
    trained = [(r, k) for r in repeats for k, a in enumerate(r.accuracy, 1) if a == a]
    flops = None if images is None else sum(_flops(r, k, images) for r, k in trained)
    return Spent("repeats", len(trained), flops, sum(r.seconds for r in repeats))


def _finals(finals: Sequence[FinalRecord], images: int | None) -> Spent:
    trainings = {(f.tried, seed): f for f in finals if f.policy and f.epochs for seed in f.seeds}
    flops = (
        None
        if images is None
        else sum(
            training_flops(f.flops, images, f.epochs) + training_flops(f.layer_flops, images, 1)
            for f in trainings.values()
        )
    )
    timed = {
        (f.tried, seed): seconds
        for f in finals
        if f.policy and f.epochs
        for seed, seconds in zip(f.seeds, f.seconds, strict=False)
    }
    known = len(timed) == len(trainings)
    return Spent("finals", len(trainings), flops, sum(timed.values()) if known else None)


def _beside(others: Sequence[BesideRecord], images: int | None) -> Spent:
    trained = trainings(others)
    flops = (
        None if images is None else sum(training_flops(r.flops, images, r.epochs) for r in trained)
    )
    return Spent("beside", len(trained), flops, sum(r.seconds for r in trained))


def _sparse(compared: Comparison) -> Spent:
    """The training that slimming reads its widths from; older comparisons did not measure it."""
    flops, seconds = compared.sparse_flops or None, compared.sparse_seconds or None
    trained = flops is not None or any(r.structure == "slimming" for r in compared.arms)
    return Spent("sparse training", int(trained), flops, seconds)


def _comparison(compared: Comparison, images: int | None) -> Spent:
    """One structure may stand in several places, and is then trained once."""
    arms = {r.training: r for r in compared.arms}
    uniform = {r.budget: r.flops for r in compared.arms if r.structure == "uniform"}
    sweep = [p for p in compared.sweep if p.budget in uniform]
    flops = sum(r.training_flops for r in arms.values())
    flops += sum(training_flops(uniform[p.budget], images or 0, p.epochs) for p in sweep)
    known = images is not None or not sweep
    seconds = sum(r.seconds for r in arms.values())
    return Spent("comparison", len(arms) + len(sweep), flops if known else None, seconds)


def _paid(records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, int]]:
    """Every rung of every trial that was measured, and not known from another trial.

    One that failed counts too. Records from before rungs were timed leave only the rungs that have
    a result.
    """
    seen: set[tuple[Key, int]] = set()
    paid = []
    for r in records:
        judged = r.rung + bool(r.proxies or r.accuracy)
        for rung in range(max(judged, len(r.rung_seconds))):
            place = (_key(r), rung)
            timed = rung < len(r.rung_seconds)
            if r.rung_seconds[rung] > 0 if timed else place not in seen:
                paid.append((r, rung))
            seen.add(place)
    return paid


def _flops(record: TrialRecord, rung: int, images: int) -> int:
    """Of one training; 0 for one that failed, as nobody knows how far it came."""
    epochs = record.epochs[rung - 1] if rung <= len(record.epochs) else 0
    return training_flops(record.flops, images, epochs)


def _seconds_per_flop(records: Sequence[TrialRecord], images: int) -> dict[int, float]:
    """Of each rung above 0 where trainings that succeeded were timed."""
    seconds: dict[int, float] = defaultdict(float)
    flops: dict[int, int] = defaultdict(int)
    for r, rung in _paid(records):
        if 0 < rung < len(r.rung_seconds) and rung <= r.rung:
            seconds[rung] += r.rung_seconds[rung]
            flops[rung] += _flops(r, rung, images)
    return {rung: seconds[rung] / flops[rung] for rung in seconds if flops[rung]}


def _key(record: TrialRecord) -> Key:
    return record.tried, record.seed, record.mode


def _plan(provenance: Mapping[str, Any]) -> tuple[int, ...]:
    """The epochs of each rung above 0, as they were asked for."""
    judging = (provenance.get("config") or {}).get("judging") or {}
    return tuple(judging.get("rungs") or ())
