"""How sensitive single layers are: measured once for starts, proxies and report."""

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

FORECAST_ABOVE_S = 20.0
"""Measuring that takes longer is forecast."""


def sensitivities(config: SearchConfig) -> list[str]:
    """The sensitivities among the starts, and that of a proxy of the same name."""
    needed = {*config.policies.starts, *config.judging.proxies}
    return [name for name in SENSITIVITIES if name in needed]


def damages(
    task: Task, space: Space, config: SearchConfig, scores: Scores, progress: Progress
) -> dict[str, Damages]:
    """The damages that each sensitivity of the run measures in every group, on held-out training
    images.

    Args:
        scores: the channels of a group with the lowest ones are cut first.
    """
    names = sensitivities(config)
    if not names:
        return {}
    images, seed = task.held_out(), config.policies.seed
    return measure(task.model, space, scores, images, names, seed, _report_to(progress))


def sensitivity_records(
    space: Space, config: SearchConfig, damages: Mapping[str, Mapping[str, Tensor]]
) -> list[SensitivityRecord]:
    """The damages, by sensitivity and group, as records for the report."""
    return [
        SensitivityRecord(
            name,
            SENSITIVITIES[name].unit,
            group.name,
            group.channels,
            SENSITIVITIES[name].widths(group),
            tuple(damages[name][group.name].tolist()),
        )
        for name in sensitivities(config)
        for group in space.groups
    ]


def _report_to(progress: Progress) -> Done:
    """Shows progress and, after the first cut, forecasts how long all of them will take."""
    times: list[float] = []

    def done(networks: int, of: int) -> None:
        times.append(time.perf_counter())
        if networks == 2:
            seconds = (of - 2) * (times[1] - times[0])
            if seconds >= FORECAST_ABOVE_S:
                cuts = plural(of - 1, "cut")
                progress.say(f"forecast: about {duration(seconds)} for {cuts} of single layers")
        progress.working("cutting single layers", networks, of)

    return done
