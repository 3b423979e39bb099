"""Training records of runs whose version did not keep them.

Such runs kept only what a training was for: finals, repeats, baselines, arms and sweep points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from results.arms import ARMS, RANDOM_OF_RUN
from results.comparison import ArmRecord
from results.compression import trainings
from results.data import RunData
from results.record import Candidate
from results.training import (
    BASELINES,
    COMPARISON,
    FINALS,
    REPEATS,
    SPARSE,
    SWEEP,
    TrainingRecord,
    TrainingSpec,
    training_flops,
)
from spaces import Policy

NAN = math.nan


def training_records(run: RunData) -> tuple[TrainingRecord, ...]:
    """One for every training to the end that the run's other records tell of."""
    parts = (_repeats, _finals, _baselines, _sparse, _sweep, _comparison)
    return tuple(record for part in parts for record in part(run))


def _repeats(run: RunData) -> Iterator[TrainingRecord]:
    for r in run.repeats:
        for epochs, accuracy in zip(r.epochs, r.accuracy, strict=False):
            if not math.isnan(accuracy):
                spec = TrainingSpec(NAN, epochs, scratch=r.mode != "finetune")
                flops = _flops(run, r.flops, epochs)
                what = (REPEATS, r.candidate, spec, r.seed, r.flops, flops)
                yield TrainingRecord(*what, seconds=r.seconds, val_accuracy=accuracy)


def _finals(run: RunData) -> Iterator[TrainingRecord]:
    records = {}
    for f in run.finals:
        if f.candidate is None or not f.epochs:
            continue
        per_group = run.provenance.settings.layer_epochs or f.layer_epochs
        gradual = per_group if f.layer_epochs else 0
        spec = TrainingSpec(NAN, f.epochs, f.mode != "finetune", layer_epochs=gradual)
        flops = _flops(run, f.flops, f.epochs) + _flops(run, f.layer_flops, 1)
        for i, seed in enumerate(f.seeds):
            what = (FINALS, f.candidate, spec, seed, f.flops, flops)
            accuracy = _at(f.val_accuracy, i), _at(f.test_accuracy, i)
            records[f.candidate, seed] = TrainingRecord(*what, _at(f.seconds, i), *accuracy)
    yield from records.values()


def _baselines(run: RunData) -> Iterator[TrainingRecord]:
    for r in trainings(run.compressed):
        spec = TrainingSpec(NAN, r.epochs, way=r.way, zeros=r.sparsity)
        flops = _flops(run, r.flops, r.epochs)
        what = (BASELINES, _unpruned(run), spec, r.seed, r.flops, flops)
        yield TrainingRecord(
            *what, r.seconds, r.val_accuracy, r.test_accuracy, nonzero=r.nonzero, bytes=r.bytes
        )


def _sparse(run: RunData) -> Iterator[TrainingRecord]:
    """The training that slimming reads its widths from; some comparisons did not measure it."""
    compared, options = run.compared, run.compared.options
    if not (compared.sparse_flops or any(r.structure == "slimming" for r in compared.arms)):
        return
    epochs, penalty = options.get("base_epochs") or 0, options.get("sparsity") or 0.0
    yield TrainingRecord(
        SPARSE,
        _unpruned(run),
        TrainingSpec(NAN, epochs, scratch=True, sparsity=penalty),
        seed=run.provenance.settings.seed or 0,
        flops=run.provenance.full_flops or 0,
        training_flops=compared.sparse_flops,
        seconds=compared.sparse_seconds or NAN,
    )


def _sweep(run: RunData) -> Iterator[TrainingRecord]:
    """Of uniform widths, where a record of these says how large they are."""
    arms = {r.budget: (r.policy, r.flops) for r in run.compared.arms if r.structure == "uniform"}
    for p in run.compared.sweep:
        if p.budget in arms:
            policy, flops = arms[p.budget]
            yield TrainingRecord(
                *(SWEEP, Candidate(policy, ""), TrainingSpec(p.lr, p.epochs), p.seed, flops),
                training_flops=_flops(run, flops, p.epochs),
                val_accuracy=p.val_accuracy,
                failure=_failure(p.reason),
                reason=p.reason,
            )


def _comparison(run: RunData) -> Iterator[TrainingRecord]:
    """One structure may stand in several places, and was then trained once."""
    for r in {r.training: r for r in run.compared.arms}.values():
        spec = TrainingSpec(r.lr, r.epochs, scratch=r.weights == "fresh")
        what = (COMPARISON, Candidate(r.policy, _source(r)), spec, r.seed, r.flops)
        measured = (r.training_flops, r.seconds, r.val_accuracy, r.test_accuracy)
        yield TrainingRecord(*what, *measured, failure=_failure(r.reason), reason=r.reason)


def _source(r: ArmRecord) -> str:
    """Arms that draw channels anew for each seed say so as ``random``; the run's own did once."""
    own = "random" if r.criterion == RANDOM_OF_RUN else r.criterion
    return ARMS[r.arm].source(own, r.seed) if r.arm in ARMS else own


def _failure(reason: str) -> str:
    return "diverged" if reason.startswith("diverged") else "failed" if reason else ""


def _unpruned(run: RunData) -> Candidate:
    return Candidate(Policy(run.provenance.channels), "")


def _flops(run: RunData, flops: int, epochs: int) -> int:
    """0 where the run does not say how many images it trained on."""
    return training_flops(flops, run.provenance.train_images or 0, epochs)


def _at(values: tuple[float, ...], i: int) -> float:
    return values[i] if i < len(values) else NAN
