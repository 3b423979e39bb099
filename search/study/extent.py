"""How far a run goes, whether it has got there, and how it was cut short or extended.

A run may grow (`search.options.option`, ``grows``): more trials, budgets, final seeds, epochs and
repeats, further ways to compress, and the gain steps.
What it measured stays, so what has ended is an *extent*: the values that those options had.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from optuna.study import Study

from results import load_records
from results.store import plain_errors
from results.text import plural
from search.config import SearchConfig
from search.study.history import TrialHistory

ENDED, EXTENDED, CUT = "ended", "extended", "cut"
"""Attributes of a study: the extent of its finals; a list of extensions; a list of cuts."""


@dataclass(frozen=True)
class Extension:
    """A run was extended once.

    Attributes:
        began: how many trials there were.
        trials, budgets: how many the run was to have before.
        tested: whether the test accuracies of its finals were known.
    """

    began: int
    trials: int
    budgets: int
    tested: bool


@dataclass(frozen=True)
class Cut:
    """A process trained the finals before all trials had ended, as its time was over.

    Attributes:
        ended: how many trials had.
        trials: how many the run was to have.
        hours: the limit of the process.
    """

    ended: int
    trials: int
    hours: float

    @property
    def sentence(self) -> str:
        """What the terminal and the report say of it."""
        return (
            f"the search was cut short by --max-hours {self.hours:g} after {self.ended} of "
            f"{plural(self.trials, 'trial')}; --resume goes on with the rest"
        )


def end(study: Study, config: SearchConfig, cut: Cut | None = None) -> None:
    """Record that the finals are done, and that nothing is left to do unless it was cut short."""
    with plain_errors("the study"):
        if cut is None:
            study.set_user_attr(ENDED, _extent(config))
        else:
            study.set_user_attr(CUT, [*map(asdict, (*cuts(study), cut))])


def ended(study: Study, config: SearchConfig) -> bool:
    """Whether some process has done the finals, to this extent at least."""
    done = study.user_attrs.get(ENDED)
    if not isinstance(done, dict):  # of a version that could not extend runs
        return bool(done)
    return not SearchConfig.of(**_extent(config)).differences(SearchConfig.of(**done), grown=True)


def extensions(study: Study) -> tuple[Extension, ...]:
    """Every extension of the run, the first one first."""
    return tuple(Extension(**one) for one in study.user_attrs.get(EXTENDED, []))


def note_extension(study: Study, before: SearchConfig) -> None:
    """Record that the run is extended now."""
    done = study.user_attrs.get(ENDED)
    budgets, trials = len(before.policies.budget), before.policies.trials
    extension = Extension(len(study.get_trials(deepcopy=False)), trials, budgets, bool(done))
    with plain_errors("the study"):
        if done is True:
            study.set_user_attr(ENDED, _extent(before))
        study.set_user_attr(EXTENDED, [*map(asdict, (*extensions(study), extension))])


def cuts(study: Study) -> tuple[Cut, ...]:
    """Every time the run was cut short, the first one first."""
    return tuple(Cut(**one) for one in study.user_attrs.get(CUT, []))


def cut_now(study: Study, config: SearchConfig) -> Cut | None:
    """How the time limit of this process has cut the trials short; None if all have ended."""
    trials, hours = config.policies.trials, config.run.max_hours
    history = TrialHistory(study, trials)
    history.update()
    return None if hours is None or history.ended else Cut(_ended_trials(study), trials, hours)


def grown_when_tested(study: Study) -> str:
    """In a word or two, how trials were added when the test accuracies of finals were known."""
    if any(extension.tested for extension in extensions(study)):
        return "extended"
    resumed = any(cut.ended < _ended_trials(study) for cut in cuts(study))
    return "cut short and resumed" if resumed else ""


def finals_trained(study: Study, config: SearchConfig) -> bool:
    """Whether the finals are those of all trials so far: the run has ended, or was cut short and
    nothing was tried since."""
    if ended(study, config):
        return True
    return any(cut.ended == _ended_trials(study) for cut in cuts(study)[-1:])


def turns(extensions: Iterable[Extension]) -> tuple[tuple[int, int], ...]:
    """The extensions as `search.policies.parameters.budget_of` takes them."""
    return tuple((one.began, one.budgets) for one in extensions)


def _ended_trials(study: Study) -> int:
    return sum(record.state != "running" for record in load_records(study))


def _extent(config: SearchConfig) -> dict[str, Any]:
    values = {f.name: config.values[f.name] for _, f in config.leaves() if f.metadata["grows"]}
    return dict(json.loads(json.dumps(values)))
