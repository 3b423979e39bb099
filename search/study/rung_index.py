"""The scores of all trials by rung: no decision has to read all records again."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Hashable
from dataclasses import replace

import numpy as np

from results.record import TrialRecord
from results.rules import measurement, next_rung
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult
from search.evaluation.rungs import Competitors, Point


class RungIndex:
    """The rungs that were measured, by trial and by policy.

    Args:
        without: numbers of trials that never compete: the superseded ones.
    """

    def __init__(self, evaluator: Evaluator, without: Collection[int] = ()) -> None:
        self._evaluator, self._without = evaluator, without
        self._rungs: defaultdict[int, _Rung] = defaultdict(_Rung)
        self._furthest: dict[Hashable, TrialRecord] = {}

    def put(self, record: TrialRecord) -> None:
        """Add every rung that the record has; again after each of its rungs."""
        reached = next_rung(record)
        for rung in range(reached):
            self._rungs[rung].put(record.number, self.point(record, rung))
        furthest = self._furthest.get(measurement(record))
        if furthest is None or next_rung(furthest) < reached:
            self._furthest[measurement(record)] = record

    def point(self, record: TrialRecord, rung: int) -> Point:
        """The record's size and score at a rung that it has."""
        return Point(record.size, self._evaluator.score(record, rung))

    def competitors(self, number: int, rung: int) -> Competitors:
        """All other trials that reached that rung, however they ended."""
        return self._rungs[rung].competitors(without={number, *self._without})

    def twin(self, record: TrialRecord) -> TrialRecord | None:
        """A trial of the same policy, criterion, seed and mode that has the record's next rung."""
        furthest = self._furthest.get(measurement(record))
        if furthest is None or next_rung(furthest) <= next_rung(record):
            return None
        return furthest


class _Rung:
    """The trials that reached one rung, in growing arrays."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}
        self._sizes, self._scores = array("q"), array("d")

    def put(self, number: int, point: Point) -> None:
        if number not in self._index:
            self._index[number] = len(self._index)
            self._sizes.append(point.size)
            self._scores.append(point.score)

    def competitors(self, without: Collection[int]) -> Competitors:
        left_out = [self._index[number] for number in without if number in self._index]
        sizes = np.frombuffer(self._sizes, np.int64)
        scores = np.frombuffer(self._scores, np.float64)
        return Competitors(np.delete(sizes, left_out), np.delete(scores, left_out))


def result_at(record: TrialRecord, rung: int) -> RungResult:
    """The result of a rung of the record, for a twin that takes it over in no time."""
    if rung == 0:
        return RungResult(0, 0.0, proxies=record.proxies)
    accuracy, epochs = record.accuracy[rung - 1], record.epochs[rung - 1]
    return RungResult(rung, 0.0, accuracy=accuracy, epochs=epochs)


def extended(record: TrialRecord, result: RungResult) -> TrialRecord:
    """The record with one more rung; a failure adds only the time it took."""
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
