"""The ledger of an engine: which trial is next, what is stored of it, whether it is promoted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from results.optuna_private import trial_id_of
from results.record import TrialRecord
from results.rules import next_rung
from results.store import RECORD, plain_errors, save_record
from search.errors import SearchStopped
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult
from search.policies.parameters import CRITERION, distributions
from search.policies.sampler import drawn
from search.policies.seeds import policy_seed
from search.policies.starts import UNIFORM
from search.study.history import TrialHistory
from search.study.peers import OpenStudy, Watch
from search.study.rung_index import RungIndex, extended, result_at
from search.time_limit import NO_LIMIT, TimeLimit
from spaces import Policy
from spaces.budget import FLOPS

PATIENCE = 3
"""This many failures of one kind in a row at one rung stop the search."""

_OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class Ledger:
    """Keeps a study and its records in step.

    >>> ledger = Ledger(opened, evaluator, trials=48, watch=print)
    >>> record = ledger.next()
    >>> result = evaluator.evaluate_rung(record.candidate, next_rung(record), record.seed)
    >>> ledger.add(record, result).state                   # "running" if it was promoted
    'stopped'

    Every change is stored as it happens, so a kill loses at most the rungs in flight. Other
    processes may have ledgers of the same study (``search.sharing``).
    """

    def __init__(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Watch,
        limit: TimeLimit = NO_LIMIT,
    ) -> None:
        self._study, self._peers, self._limit = opened.study, opened.peers, limit
        self._evaluator, self._watch = evaluator, watch
        self._history = TrialHistory(opened.study, trials)
        self._rungs = RungIndex(evaluator, without=self._history.gone)
        for record in self._history.update():
            self._rungs.put(record)
        self._interrupted = deque(t for t in self._history.running if self._peers.owns(t))
        self._ids: dict[int, int] = {}
        self._failures: dict[int, list[str]] = {}

    def next(self, ask: Callable[[], Trial] | None = None) -> TrialRecord | None:
        """The next trial to work on; ``None`` when all trials have begun, or the time is over.

        Trials that a killed process of this run left come first, under their own numbers. A rung
        that was measured for the same policy and criterion is not measured again.

        Args:
            ask: where new trials come from, instead of ``study.ask``.
        """
        while (record := self._begin_next(ask or self._study.ask)) is not None:
            if (record := self._skip_known_rungs(record)).state == "running":
                return record
        return None

    def add(self, record: TrialRecord, result: RungResult) -> TrialRecord:
        """Store the result of a rung and decide about promotion; the updated record.

        Raises:
            SearchStopped: the same kind of failure for the third time in a row.
        """
        self._peers.outbox.keep(record, result)
        record = self._store(record, result)
        self._check_failures(result)
        return self._skip_known_rungs(record)

    def goes_on(self, record: TrialRecord) -> bool:
        """Whether the trial begins its next rung now.

        Where there is no time for it, it is left to whoever has some: to the process that resumes
        the run, or to one that shares its study.
        """
        if record.state != "running":
            return False
        if self._has_time(record.origin):
            return True
        self._peers.leave(record.number)
        return False

    def _has_time(self, origin: str | None) -> bool:
        """Whether a trial may begin; uniform widths are tried however late it is."""
        return origin == UNIFORM or not self._limit.reached

    def _begin_next(self, ask: Callable[[], Trial]) -> TrialRecord | None:
        with plain_errors("the study"):
            self._read()
            self._peers.requeue_dead(self._history)
            while self._interrupted and self._has_time(_origin(self._interrupted[0])):
                if (record := self._resume(self._interrupted.popleft())) is not None:
                    return record
            while self._history.to_ask > 0 and self._has_time(_origin(self._history.next_waiting)):
                trial = ask()
                if self._history.counts(trial.number):
                    return self._begin(trial)
                # Other processes began enough.
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._read()
        return None

    def _read(self) -> None:
        """Read what other processes have stored."""
        with plain_errors("the study"):
            changed = self._history.update()
        for record in changed:
            self._rungs.put(record)
            if record.state != "running" and record.number not in self._history.gone:
                self._watch(record)

    def _resume(self, trial: FrozenTrial) -> TrialRecord | None:
        record = self._history.records.get(trial.number)
        if record is None:  # killed before its policy was complete
            return self._begin(Trial(self._study, trial_id_of(trial)))
        self._take(trial)
        if record.state == "running":
            return record
        self._tell(record)  # killed between storing the record and telling Optuna
        return None

    def _begin(self, trial: Trial) -> TrialRecord:
        self._take(trial)
        attributes = trial.user_attrs
        if RECORD in attributes:  # of a dead process, to go on from the rung it had reached
            record = replace(TrialRecord.from_json(attributes[RECORD]), number=trial.number)
        else:
            record = self._new_record(trial, attributes.get("origin"))
        self._save(record)
        return record

    def _take(self, trial: Trial | FrozenTrial) -> None:
        self._ids[trial.number] = trial_id_of(trial)
        self._peers.take(trial_id_of(trial))

    def _new_record(self, trial: Trial, origin: str | None) -> TrialRecord:
        space, config = self._evaluator.space, self._evaluator.config
        ranges = distributions(space).items()
        policy = Policy({name: trial.suggest_int(name, d.low, d.high) for name, d in ranges})
        criterion = config.reference
        if config.searched:
            criterion = trial.suggest_categorical(CRITERION, config.searched)
        flops = space.flops(policy)
        sampler = "random" if drawn(self._study, trial) else config.policies.sampler
        return TrialRecord(
            number=trial.number,
            policy=policy,
            origin=origin or sampler,
            flops=flops,
            flops_fraction=flops / space.full_flops,
            params=space.params(policy),
            **self._spent(policy),
            mode=config.training.train,
            criterion=criterion,
            seed=policy_seed(config.policies.seed, policy),
        )

    def _spent(self, policy: Policy) -> dict[str, Any]:
        """The fields on what the budgets limit, where that is not FLOPs."""
        space, limited = self._evaluator.space, self._evaluator.config.limited
        if limited == FLOPS:
            return {}
        spent = space.cost(limited, policy)
        return {"spent": spent, "spent_fraction": spent / space.cost(limited, space.full)}

    def _skip_known_rungs(self, record: TrialRecord) -> TrialRecord:
        """Take over rungs that are measured already, until one is not or the trial ends."""
        while record.state == "running":
            rung = next_rung(record)
            unsaved = self._peers.outbox.find(record, rung)
            twin = self._rungs.twin(record)
            if unsaved is not None:
                record = self._store(record, unsaved)
            elif twin is not None:
                record = replace(record, reason=f"as trial {twin.number}")
                record = self._store(record, result_at(twin, rung))
            else:
                break
        return record

    def _store(self, record: TrialRecord, result: RungResult) -> TrialRecord:
        """Extend the record by the rung, decide, save; tell Optuna if the trial has ended."""
        if self._peers.shared:
            self._read()
        record = self._decide(extended(record, result), result)
        try:
            self._save(record)
        except UpdateFinishedTrialError:
            # Another process took this one for dead and requeued the trial. The result stays in the
            # outbox, in case this process resumes the requeued trial.
            return replace(record, state="failed", reason="another process goes on with it")
        self._tell(record)
        self._peers.outbox.drop(record, result.rung)
        return record

    def _decide(self, record: TrialRecord, result: RungResult) -> TrialRecord:
        if result.failure is not None:
            return replace(record, state="failed", reason=result.failure.reason)
        if result.rung == self._evaluator.top:
            return replace(record, state="complete")
        point = self._rungs.point(record, result.rung)
        competitors = self._rungs.competitors(record.number, result.rung)
        rule = self._evaluator.rule
        if not rule.dominated(point, competitors):
            return record
        if rule.explores(record.seed):
            return replace(record, explored=(*record.explored, result.rung))
        better, peers = rule.beaten_by(point, competitors)
        size = self._evaluator.config.limited
        reason = f"rung {result.rung}: {better} of {peers} with at most its {size} do better"
        return replace(record, state="stopped", reason=reason)

    def _save(self, record: TrialRecord) -> None:
        save_record(self._study, self._ids[record.number], record)
        self._history.records[record.number] = record
        self._rungs.put(record)
        self._watch(record)

    def _tell(self, record: TrialRecord) -> None:
        if record.state == "running":
            return
        complete = record.state == "complete"
        values = (record.val_accuracy, float(record.size)) if complete else None
        state = _OPTUNA_STATES[record.state]
        with plain_errors("the study"):
            self._study.tell(record.number, values, state=state, skip_if_finished=True)
        self._peers.release(self._ids[record.number])

    def _check_failures(self, result: RungResult) -> None:
        kinds = self._failures.setdefault(result.rung, [])
        if (failure := result.failure) is None:
            kinds.clear()
            return
        kinds.append(failure.kind)
        if kinds[-PATIENCE:] == [failure.kind] * PATIENCE:
            step = "brief training" if result.rung else "proxies"
            raise SearchStopped(
                f"{PATIENCE} trials in a row failed at rung {result.rung} ({step}): "
                f"{failure.reason}"
            )


def _origin(trial: FrozenTrial | None) -> str | None:
    """Where the trial's policy comes from, if it was enqueued."""
    return None if trial is None else trial.user_attrs.get("origin")
