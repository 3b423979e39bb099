"""How much of an accuracy is luck: some policies are trained again with another seed.

From the spread between the two the report works out the noise ceiling: how well any proxy could be
expected to rank the policies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from results import TrialRecord
from results.pareto import finished
from search.engines import Engine
from search.evaluator import Evaluator
from search.jobs import TrainingJob, TrainingResult
from search.sampler import trial_seed


def repeat(
    records: Sequence[TrialRecord],
    evaluator: Evaluator,
    engine: Engine,
    known: Sequence[TrialRecord],
    keep: Callable[[list[TrialRecord]], None],
) -> None:
    """Train the chosen policies again, just as the top rung trained them; the test is not read.

    Args:
        known: repeats that were made before.
        keep: called with all repeats so far after each. One that fails is left out.
    """
    made = list(known)
    jobs = {
        job(record, evaluator): record
        for record in chosen(records, evaluator.config.judging.repeats)
    }
    done = {(*one.tried, one.seed) for one in known}
    missing = [job for job in jobs if (job.policy, job.source, job.seed) not in done]
    for one, result in engine.finals(evaluator, missing):
        if result.failure is None:
            made.append(_repeat(jobs[one], one, result))
            keep(made)


def chosen(records: Sequence[TrialRecord], number: int) -> list[TrialRecord]:
    """So many of the trials at the top rung, drawn whatever their accuracy, by the first's seed.

    The best and the worst owe their places to luck too: chosen for that, they would fall back when
    they are trained again, and the noise would look larger than it is.
    """
    climbed = finished(records)
    if not climbed:
        return []
    drawn = np.random.default_rng(climbed[0].seed).permutation(len(climbed))[:number]
    return [climbed[k] for k in sorted(drawn)]


def job(record: TrialRecord, evaluator: Evaluator) -> TrainingJob:
    """The training of a trial's top rung once more, with a seed that follows from the trial's."""
    how = evaluator.in_mode(record.policy, evaluator.config.judging.rungs[-1])
    seed = trial_seed(record.seed, 1)
    untested = replace(how, tested=False)
    return TrainingJob(record.policy, seed, untested, record.criterion, keep=False)


def _repeat(record: TrialRecord, again: TrainingJob, result: TrainingResult) -> TrialRecord:
    unknown = (math.nan,) * (record.rung - 1)
    return replace(
        record,
        seed=again.seed,
        accuracy=(*unknown, result.val_accuracy),
        seconds=result.seconds,
        rung_seconds=(),
        regardless=(),
        reason="",
    )
