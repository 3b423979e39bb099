"""The parent's side of every engine: which trial is next, what it left behind, who climbs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from optuna.study import Study
from optuna.trial import Trial, TrialState

from results.record import TrialRecord
from results.store import load_records, plain_errors, save_record
from search.engines import SearchStopped
from search.rungs import Standing
from search.sampler import distributions, trial_seed
from search.trial import Climb, Outcome
from spaces import Policy

PATIENCE = 3
"""So many failures of one kind in a row at one rung stop the search."""

_TOLD = {"stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


class Ledger:
    """A study and its records, kept in step.

    >>> ledger = Ledger(study, climb, trials=48, watch=print)
    >>> record = ledger.next()                             # a policy and how far it has climbed
    >>> outcome = climb.rung(record.policy, climb.next_rung(record), record.seed)
    >>> ledger.add(record, outcome).state                  # "running": it climbs on
    'stopped'

    Every change is stored as it happens, so a kill loses at most the rungs in flight.
    """

    def __init__(
        self, study: Study, climb: Climb, trials: int, watch: Callable[[TrialRecord], None]
    ) -> None:
        self._study, self._climb, self._watch = study, climb, watch
        self._records = {record.number: record for record in load_records(study)}
        self._ids = {t.number: t._trial_id for t in study.get_trials(deepcopy=False)}
        self._failures: dict[int, list[str]] = {}
        self._open = self._trials(trials)

    def next(self) -> TrialRecord | None:
        """The next trial to work on; ``None`` when the study has all it was asked for."""
        with plain_errors("study.db"):
            return next(self._open, None)

    def add(self, record: TrialRecord, outcome: Outcome) -> TrialRecord:
        """Store what a rung gave and decide how the trial goes on; the record as it is now.

        Raises:
            SearchStopped: the same kind of failure for the third time in a row.
        """
        record = self._decided(_extended(record, outcome), outcome)
        self._save(record)
        self._tell(record)
        self._count(outcome)
        return record

    def _trials(self, total: int) -> Iterator[TrialRecord]:
        """Those a killed run left, under their own numbers; then new ones."""
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                yield from self._taken_up(trial.number)
        for _ in range(total - sum(trial.state != TrialState.WAITING for trial in trials)):
            yield self._begun(self._study.ask())

    def _taken_up(self, number: int) -> Iterator[TrialRecord]:
        record = self._records.get(number)
        if record is None:  # killed before its policy was complete
            yield self._begun(Trial(self._study, self._ids[number]))
        elif record.state == "running":
            yield record
        else:  # killed between storing the record and telling Optuna
            self._tell(record)

    def _begun(self, trial: Trial) -> TrialRecord:
        space, config = self._climb.space, self._climb.config
        asked = distributions(space).items()
        policy = Policy({name: trial.suggest_int(name, d.low, d.high) for name, d in asked})
        flops = space.flops(policy)
        record = TrialRecord(
            number=trial.number,
            policy=policy,
            origin=trial.user_attrs.get("origin", config.policies.sampler),
            flops=flops,
            flops_fraction=flops / space.full_flops,
            params=space.params(policy),
            mode=config.training.train,
            seed=trial_seed(config.policies.seed, trial.number),
        )
        self._ids[trial.number] = trial._trial_id
        self._save(record)
        return record

    def _decided(self, record: TrialRecord, outcome: Outcome) -> TrialRecord:
        if outcome.failure is not None:
            return replace(record, state="failed", reason=outcome.failure.reason)
        if outcome.rung == self._climb.top:
            return replace(record, state="complete")
        mine = self._standing(record, outcome.rung)
        others = self._others(record.number, outcome.rung)
        if self._climb.rule.stops(mine, others, seed=record.seed):
            better, peers = self._climb.rule.beaten_by(mine, others)
            reason = f"rung {outcome.rung}: {better} of {peers} with at most its flops do better"
            return replace(record, state="stopped", reason=reason)
        return record

    def _standing(self, record: TrialRecord, rung: int) -> Standing:
        return Standing(record.flops, self._climb.score(record, rung))

    def _others(self, number: int, rung: int) -> list[Standing]:
        """Everybody else who reached that rung, whatever became of them."""
        others = (r for r in self._records.values() if r.number != number)
        return [self._standing(r, rung) for r in others if self._climb.next_rung(r) > rung]

    def _save(self, record: TrialRecord) -> None:
        self._records[record.number] = record
        save_record(self._study, self._ids[record.number], record)
        self._watch(record)

    def _tell(self, record: TrialRecord) -> None:
        with plain_errors("study.db"):
            if record.state == "complete":
                self._study.tell(record.number, (record.val_accuracy, float(record.flops)))
            elif record.state != "running":
                self._study.tell(record.number, state=_TOLD[record.state])

    def _count(self, outcome: Outcome) -> None:
        kinds = self._failures.setdefault(outcome.rung, [])
        if outcome.failure is None:
            kinds.clear()
            return
        kinds.append(outcome.failure.kind)
        if kinds[-PATIENCE:] == [outcome.failure.kind] * PATIENCE:
            why = outcome.failure.reason
            raise SearchStopped(f"{PATIENCE} trials in a row failed at rung {outcome.rung}: {why}")


def _extended(record: TrialRecord, outcome: Outcome) -> TrialRecord:
    record = replace(record, seconds=record.seconds + outcome.seconds)
    if outcome.failure is not None:
        return record
    if outcome.rung == 0:
        return replace(record, proxies=outcome.proxies)
    return replace(
        record,
        accuracy=(*record.accuracy, outcome.accuracy),
        epochs=(*record.epochs, outcome.epochs),
    )
