"""What a run scores before its first trial: channels by criteria, groups by sensitivities."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

import prune_ops
from prune_ops import CRITERIA, SENSITIVITIES, Scores, normalised
from prune_ops.sensitivities.measure import Done
from results import SensitivityRecord
from results.text import duration, plural
from search.config import SearchConfig
from search.policies import SURROGATE
from search.policies.surrogate import TABLE
from search.progress import Progress
from search.task.task import Task
from spaces import ModelError, Space
from spaces.errors import in_one_line

FORECAST_ABOVE_S = 20.0
"""Measuring sensitivities is forecast if it takes longer."""


def criteria(config: SearchConfig) -> list[str]:
    """The criteria that choose channels and those that rank them for the starts."""
    ranked = [name for name in config.policies.starts if name in CRITERIA]
    return sorted({config.reference, *config.searched, *ranked})


def sensitivities(config: SearchConfig) -> list[str]:
    """The sensitivities among the starts, that of a proxy of the same name, and the sampler's."""
    needed = {*config.policies.starts, *config.judging.proxies}
    if config.policies.sampler == SURROGATE:
        needed.add(TABLE)
    return [name for name in SENSITIVITIES if name in needed]


def score(
    task: Task, space: Space, config: SearchConfig, progress: Progress
) -> Mapping[str, Scores]:
    """The scores of every channel by each criterion of the run, and the damages of every group by
    each sensitivity, on held-out training images, under their names.

    Raises:
        UserError: as ``prune_ops.score``, or the model fails on the images.
    """
    must = "the model must run on training images, but scoring it failed with"
    with in_one_line(ModelError, must, "try a forward and a backward pass"):
        model, seed, names = task.model, config.policies.seed, sensitivities(config)
        measures = [*criteria(config), *names]
        loss = task.loss
        stats = prune_ops.statistics(model, space, task.calibration(), measures, loss, seed)
        scores = prune_ops.score(model, space, (), criteria(config), loss, seed, stats)
        if not names:
            return scores
        images, ranking = task.held_out(), scores[config.reference]  # the lowest are cut first
        told = _report_to(progress)
        return scores | prune_ops.measure(
            model, space, ranking, images, names, seed, told, loss, stats, task.metric.score
        )


def selection_scores(scores: Mapping[str, Scores], config: SearchConfig) -> dict[str, Scores]:
    """The scores of the criteria that choose channels, as an ``Evaluator`` takes them."""
    names = config.searched or (config.reference,)
    return {name: in_one_unit(scores[name], name) for name in names}


def in_one_unit(scores: Scores, criterion: str) -> Scores:
    """A criterion's scores, comparable across groups, as predicted damage adds them up."""
    return scores if CRITERIA[criterion].comparable else normalised(scores)


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
