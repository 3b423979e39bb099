"""The trials of a study: which count, which are open, and the records of all."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from results.record import TrialRecord
from results.store import RECORD, SUPERSEDES, record_of


class TrialHistory:
    """The trials of a study; an update reads only open and new ones.

    The first ``total`` trials count, by number; one that supersedes another has that one's place.
    One that was superseded does not count, nor one that failed before it had a policy: its process
    died, or it was in excess of ``total``.

    Attributes:
        records: of all trials that have one, by number.
        open: the trials that have not ended.
        gone: the numbers of those that do not count.
    """

    def __init__(self, study: Study, total: int) -> None:
        self._study, self._total = study, total
        self.records: dict[int, TrialRecord] = {}
        self.open: dict[int, FrozenTrial] = {}
        self.gone: set[int] = set()
        self._places: dict[int, int] = {}  # of those that supersede others
        self._length = 0

    def update(self) -> list[TrialRecord]:
        """Read the study; the records that have changed since the last update."""
        trials = self._study.get_trials(deepcopy=False)
        numbers = [*self.open, *range(self._length, len(trials))]
        self._length = len(trials)
        return [record for number in numbers for record in self._changed(trials[number])]

    def _changed(self, trial: FrozenTrial) -> list[TrialRecord]:
        self.open.pop(trial.number, None)
        if not trial.state.is_finished():
            self.open[trial.number] = trial
        elif trial.state == TrialState.FAIL and RECORD not in trial.user_attrs:
            self.gone.add(trial.number)
        if SUPERSEDES in trial.user_attrs:
            superseded = trial.user_attrs[SUPERSEDES]
            self.gone.add(superseded)
            self._places[trial.number] = self._places.get(superseded, superseded)
        record = record_of(trial)
        if record is None or record == self.records.get(trial.number):
            return []
        self.records[trial.number] = record
        return [record]

    def counts(self, number: int) -> bool:
        """Whether the trial is among the first ``total`` of those that count."""
        place = self._places.get(number, number)
        before = place - sum(other < place for other in self._no_places)
        return number not in self.gone and before < self._total

    @property
    def _no_places(self) -> set[int]:
        """Numbers whose place is another one's, or nobody's."""
        taken = {place for number, place in self._places.items() if number not in self.gone}
        return (self.gone - taken) | self._places.keys()

    @property
    def to_ask(self) -> int:
        """How many trials are still to begin, waiting and new ones."""
        waiting = [n for n, t in self.open.items() if t.state == TrialState.WAITING]
        new = self._total - (self._length - len(self._no_places))
        return max(0, new) + sum(map(self.counts, waiting))

    @property
    def next_waiting(self) -> FrozenTrial | None:
        """The trial that is begun next if one is enqueued."""
        waiting = [n for n, trial in self.open.items() if trial.state == TrialState.WAITING]
        return self.open[min(waiting)] if waiting else None

    @property
    def running(self) -> list[FrozenTrial]:
        """Trials that a process works on, or died while it did."""
        return [trial for trial in self.open.values() if trial.state == TrialState.RUNNING]

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do for any process."""
        return self.to_ask == 0 and not any(map(self.counts, self.open))
