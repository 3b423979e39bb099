"""The noise of accuracies: some trials are trained again with another seed.

From the differences the report computes the noise ceiling: how well any proxy could be expected to
rank the policies.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from results import TrialRecord
from results.pareto import finished
from results.record import Candidate
from results.training import REPEATS, TrainingRecord
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.policies.seeds import trial_seed
from search.training.trainer import Known


class Repeats:
    """The plan of the repeats: trials trained as at the top rung, but with another seed.

    The test split is not read. The row of a repeat is its trial's record with the new seed and
    accuracy; accuracies at other rungs are nan.

    Args:
        repeated: the repeats that the run has; those of a run that was extended stay.
    """

    purpose = REPEATS

    def __init__(
        self,
        records: Sequence[TrialRecord],
        evaluator: Evaluator,
        repeated: Sequence[TrialRecord] = (),
    ) -> None:
        before = {record.number for record in repeated}
        self._chosen = chosen(records, evaluator.config.judging.repeats, before)
        self._evaluator = evaluator

    @cached_property
    def jobs(self) -> list[TrainingJob]:
        """One for every chosen trial, with a seed that follows from the trial's."""
        epochs = self._evaluator.config.judging.rungs[-1]
        return [
            TrainingJob(
                Candidate(record.policy, record.criterion),
                self._evaluator.specs.in_mode(record.policy, epochs),
                trial_seed(record.seed, 1),
                tested=False,
            )
            for record in self._chosen
        ]

    def rows(self, known: Known) -> list[TrialRecord]:
        """The repeats that did not fail."""
        pairs = ((trial, known(job)) for trial, job in zip(self._chosen, self.jobs, strict=True))
        return [_row(trial, again) for trial, again in pairs if again and not again.failure]


def chosen(
    records: Sequence[TrialRecord], number: int, before: Collection[int] = ()
) -> list[TrialRecord]:
    """Up to ``number`` trials of the top rung, drawn at random by the seed of the first.

    Those whose numbers are in ``before`` were drawn already, from fewer trials.

    Chosen by accuracy, trials would regress to the mean when they are trained again, and the noise
    would look larger than it is.
    """
    complete = finished(records)
    if not complete:
        return []
    order = np.random.default_rng(complete[0].seed).permutation(len(complete))
    drawn = sorted(order, key=lambda k: complete[k].number not in before)[:number]
    return [complete[k] for k in sorted(drawn)]


def expected(evaluator: Evaluator, policy: Candidate) -> list[TrainingJob]:
    """About the jobs there will be, as known before the search."""
    judging = evaluator.config.judging
    spec = evaluator.specs.in_mode(policy.policy, judging.rungs[-1])
    return [TrainingJob(policy, spec, seed, tested=False) for seed in range(judging.repeats)]


def _row(trial: TrialRecord, again: TrainingRecord) -> TrialRecord:
    unknown = (math.nan,) * (trial.rung - 1)
    return replace(
        trial,
        seed=again.seed,
        accuracy=(*unknown, again.val_accuracy),
        seconds=again.seconds,
        rung_seconds=(),
        explored=(),
        reason="",
    )
