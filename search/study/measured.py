"""What a study's trials gave at every rung, so that no decision has to read all of them again."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from results.record import TrialRecord, Tried
from search.evaluator import Evaluator
from search.jobs import RungResult
from search.rungs import Field, Standing

Key = tuple[Tried, int, str]


class Measured:
    """The rungs that were measured, by trial and by policy.

    >>> measured = Measured(climb)
    >>> measured.put(record)                               # again after each of its rungs
    >>> measured.others(record.number, rung=1).scores      # whom the rule compares it with
    array([0.91, ...])
    >>> measured.twin(duplicate).number                    # a trial to take the next rung from
    12

    Args:
        without: numbers of trials that nobody is compared with; those that others have replaced.
    """

    def __init__(self, evaluator: Evaluator, without: Collection[int] = ()) -> None:
        self._evaluator, self._without = evaluator, without
        self._rungs: defaultdict[int, _Rung] = defaultdict(_Rung)
        self._furthest: dict[Key, TrialRecord] = {}

    def put(self, record: TrialRecord) -> None:
        """Take note of every rung that the record has."""
        reached = self._evaluator.next_rung(record)
        for rung in range(reached):
            self._rungs[rung].put(record.number, self.standing(record, rung))
        known = self._furthest.get(_key(record))
        if known is None or self._evaluator.next_rung(known) < reached:
            self._furthest[_key(record)] = record

    def standing(self, record: TrialRecord, rung: int) -> Standing:
        """Where the record stands at a rung that it has."""
        return Standing(record.flops, self._evaluator.score(record, rung))

    def others(self, number: int, rung: int) -> Field:
        """Everybody else who reached that rung, whatever became of them."""
        return self._rungs[rung].field(without={number, *self._without})

    def twin(self, record: TrialRecord) -> TrialRecord | None:
        """A trial of the same policy, criterion, seed and mode that has the rung that is next."""
        known = self._furthest.get(_key(record))
        if known is None or self._evaluator.next_rung(known) <= self._evaluator.next_rung(record):
            return None
        return known


class _Rung:
    """Who stands at one rung, and where; made so that one more costs nothing."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._flops, self._scores = array("q"), array("d")

    def put(self, number: int, standing: Standing) -> None:
        if number not in self._places:
            self._places[number] = len(self._places)
            self._flops.append(standing.flops)
            self._scores.append(standing.score)

    def field(self, without: Collection[int]) -> Field:
        left_out = [self._places[number] for number in without if number in self._places]
        flops = np.frombuffer(self._flops, np.int64)
        scores = np.frombuffer(self._scores, np.float64)
        return Field(np.delete(flops, left_out), np.delete(scores, left_out))


def result_at(record: TrialRecord, rung: int) -> RungResult:
    """What a rung that the record has gave; for whom it costs nothing."""
    if rung == 0:
        return RungResult(0, 0.0, proxies=record.proxies)
    place = rung - 1
    return RungResult(rung, 0.0, accuracy=record.accuracy[place], epochs=record.epochs[place])


def extended(record: TrialRecord, result: RungResult) -> TrialRecord:
    """The record with one rung more; a failure leaves only the time it took."""
    record = replace(
        record,
        seconds=record.seconds + result.seconds,
        rung_seconds=(*record.rung_seconds, result.seconds),
    )
    if result.failure is not None:
        return record
    if result.rung == 0:
        return replace(record, proxies=result.proxies)
    return replace(
        record,
        accuracy=(*record.accuracy, result.accuracy),
        epochs=(*record.epochs, result.epochs),
    )


def _key(record: TrialRecord) -> Key:
    return record.tried, record.seed, record.mode
