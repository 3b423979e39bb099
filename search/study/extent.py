"""How far a run goes, whether it has got there, and how it was extended.

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

from results.store import plain_errors
from search.config import SearchConfig

ENDED, EXTENDED = "ended", "extended"
"""Attributes of a study: the extent of its finals; a list of extensions."""


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


def end(study: Study, config: SearchConfig) -> None:
    """Record that the finals are done and nothing is left to do."""
    with plain_errors("the study"):
        study.set_user_attr(ENDED, _extent(config))


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


def turns(extensions: Iterable[Extension]) -> tuple[tuple[int, int], ...]:
    """The extensions as `search.policies.parameters.budget_of` takes them."""
    return tuple((one.began, one.budgets) for one in extensions)


def _extent(config: SearchConfig) -> dict[str, Any]:
    values = {f.name: config.values[f.name] for _, f in config.leaves() if f.metadata["grows"]}
    return dict(json.loads(json.dumps(values)))
