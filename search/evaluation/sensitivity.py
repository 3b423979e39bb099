"""What single layers bear: measured once for the run's starts, its proxies and its report."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

from prune_ops import SENSITIVITIES, Damages, Scores, measure
from prune_ops.sensitivities.measure import Done
from results import SensitivityRecord
from results.text import duration, plural
from search.config import SearchConfig
from search.progress import Progress
from search.task.task import Task
from spaces import Space

WORTH_SAYING = 20.0
"""Seconds of measuring that are foretold."""


def sensitivities(config: SearchConfig) -> list[str]:
    """Those among the starts, and the one that a proxy of the same name reads."""
    asked = {*config.policies.starts, *config.judging.proxies}
    return [name for name in SENSITIVITIES if name in asked]


def damages(
    task: Task, space: Space, config: SearchConfig, scores: Scores, progress: Progress
) -> dict[str, Damages]:
    """What each importance of the run finds in every group, on held-out training images.

    Args:
        scores: say which channels of a group go first.
    """
    names = sensitivities(config)
    if not names:
        return {}
    images, seed = task.held_out(), config.policies.seed
    return measure(task.model, space, scores, images, names, seed, _told(progress))


def sensitivity(
    space: Space, config: SearchConfig, found: Mapping[str, Mapping[str, Tensor]]
) -> list[SensitivityRecord]:
    """The same as records, for the report.

    Args:
        found: holds the damages under the importances' names.
    """
    return [
        SensitivityRecord(
            name,
            SENSITIVITIES[name].unit,
            group.name,
            group.channels,
            SENSITIVITIES[name].widths(group),
            tuple(found[name][group.name].tolist()),
        )
        for name in sensitivities(config)
        for group in space.groups
    ]


def _told(progress: Progress) -> Done:
    """Tells a person how far it is and, after the first cut, how long all of them will take."""
    ended: list[float] = []

    def done(networks: int, of: int) -> None:
        ended.append(time.perf_counter())
        if networks == 2:
            seconds = (of - 2) * (ended[1] - ended[0])
            if seconds >= WORTH_SAYING:
                cuts = plural(of - 1, "cut")
                progress.say(f"forecast: about {duration(seconds)} for {cuts} of single layers")
        progress.working("cutting single layers", networks, of)

    return done
