"""What a sampler is shown of a long study: at most ``SHOWN`` finished trials.

A model-based sampler goes through all trials at every proposal, so a search would become slower
the longer it runs.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Mapping, Sequence
from copy import deepcopy as copied
from datetime import datetime
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from results import pareto
from results.optuna_private import StudyView

# TPE calls a tenth of what it sees good. That tenth was capped at 25 for years (Bergstra et al.
# 2013, and still is in Optuna's single objective), and grows without limit for several objectives
# only since Optuna 5. The best 128 hold the good tenth of 512 twice over, so the good ones are
# those of the whole study; TPE weighs bad ones down with age (its linear ramp): the latest serve.
SHOWN = 512
BEST = 128


class TrialWindow:
    """All finished trials: which policies they tried, which are the best, which the latest.

    Up to ``SHOWN`` finished trials, all are shown. Beyond: the ``BEST`` by front rank, the latest
    complete ones (128 to 255, which have not yet competed for a place among the best), and the
    latest of any kind until there are ``SHOWN``. Running trials are always shown.

    An update takes time for new trials only, yet what is shown depends on the trials alone: they
    count in the order in which they ended, and one that appears after its turn has passed starts
    the count again.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._reset()

    def _reset(self) -> None:
        self._seen = 0  # trials seen so far, finished or not
        self._running: dict[int, FrozenTrial] = {}
        self._policies: set[tuple[Any, ...]] = set()
        self._finished = 0  # complete or stopped; a sampler learns nothing from failed ones
        self._best: list[FrozenTrial] = []
        self._complete: list[FrozenTrial] = []
        self._latest: list[FrozenTrial] = []
        self._settled = (datetime.min, -1)  # until then all complete trials have competed

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Add what is new; ``trials`` are all of the study, by number."""
        changed = [trials[number] for number in self._running] + list(trials[self._seen :])
        self._seen = len(trials)
        self._running = {t.number: t for t in changed if not t.state.is_finished()}
        ended = [t for t in changed if t.state.is_finished()]
        if any(_order(t) < self._settled for t in ended if t.state == TrialState.COMPLETE):
            self._reset()
            self.update(trials)
            return
        for trial in sorted(ended, key=_order):
            self._add(trial)

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether some trial has this policy and criterion, failed ones included."""
        key = self._key(params)
        return key in self._policies or any(key == self._key(t.params) for t in self._at_work())

    def shown(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The trials of the last update that a sampler sees, by number."""
        if self._finished <= SHOWN:
            return list(trials)
        chosen = {t.number: t for t in (*self._best, *self._complete)}
        latest = [t for t in self._latest if t.number not in chosen]
        chosen |= {t.number: t for t in latest[len(chosen) - SHOWN :]}
        chosen |= {t.number: t for t in self._at_work()}
        return [chosen[number] for number in sorted(chosen)]

    def _at_work(self) -> list[FrozenTrial]:
        return [t for t in self._running.values() if t.state == TrialState.RUNNING]

    def _key(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(params.get(name) for name in self._names)

    def _add(self, trial: FrozenTrial) -> None:
        self._policies.add(self._key(trial.params))
        if trial.state == TrialState.FAIL:
            return
        self._finished += 1
        insort(self._latest, trial, key=_order)
        del self._latest[:-SHOWN]
        if trial.state == TrialState.COMPLETE:
            insort(self._complete, trial, key=_order)
            if len(self._complete) == 2 * BEST:
                self._compete()

    def _compete(self) -> None:
        older, self._complete = self._complete[:BEST], self._complete[BEST:]
        self._best = best([*self._best, *older], BEST)
        self._settled = _order(older[-1])


def best(trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    """The ``count`` best complete trials by front rank; a front too long is thinned evenly."""
    remaining: list[FrozenTrial] = list(trials)
    chosen: list[FrozenTrial] = []
    while len(chosen) < count and remaining:
        points = [(t.values[1], t.values[0]) for t in remaining]
        front = [remaining[i] for i in pareto.front(points)]
        if not front:  # NaN is on no front
            break
        picks = np.linspace(0, len(front) - 1, min(len(front), count - len(chosen)))
        chosen += [front[i] for i in picks.round().astype(int)]
        on_front = {t.number for t in front}
        remaining = [t for t in remaining if t.number not in on_front]
    return chosen


def _order(trial: FrozenTrial) -> tuple[datetime, int]:
    return trial.datetime_complete or datetime.min, trial.number


class StudyWindow(StudyView):
    """A study of which a sampler sees some trials only; everything else is the study's own.

    A sampler that asks for trials by state wants observations and gets the shown ones. One that
    asks for all looks some up, as evolutionary samplers do with parents, and gets all.
    """

    def __init__(
        self, study: Study, trials: Sequence[FrozenTrial], shown: Sequence[FrozenTrial]
    ) -> None:
        super().__init__(study)
        self._all, self._shown = trials, shown

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._all if states is None else [t for t in self._shown if t.state in states]
        return copied(list(trials)) if deepcopy else list(trials)
