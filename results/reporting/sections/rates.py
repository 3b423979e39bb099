"""Which learning rates fine-tuning has: the sweep before the first trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from results import text
from results.data import RunData
from results.metric import MetricInfo
from results.reporting.blocks import Block, Column, Paragraph, tabulate
from results.sweep import SweepPoint, chosen_rates


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where the run was given a rate, or trained from fresh weights."""
    if not run.swept:
        return
    seeds = len({point.seed for point in run.swept})
    yield Paragraph(
        "Long trainings bear higher learning rates than short ones, and deep cuts other ones than "
        "light cuts. So each budget has its own, and each length of training, for every policy and "
        "for all that it is compared with. They come from a short sweep before the first trial, "
        f"over uniform widths with {'a seed' if seeds == 1 else f'{seeds} seeds'} of its own. "
        f"Under each rate is its mean {run.metric.name} on the validation split"
        f"{run.metric.unit and f', in {run.metric.unit}'}:"
    )
    places = {p.place: [q for q in run.swept if q.place == p.place] for p in run.swept}
    chosen = chosen_rates(run.swept)
    cells: dict[Column, Callable[[Sequence[SweepPoint]], str]] = {}
    if len({budget for budget, _ in places}) > 1:
        cells[Column("budget")] = lambda own: own[0].budget
    cells |= {
        Column("epochs", numeric=True, label=True): lambda own: str(own[0].serves),
        Column("chosen", numeric=True): lambda own: (
            f"{chosen[own[0].place]:g}" if own[0].place in chosen else text.NONE
        ),
        Column("tried for", numeric=True, minor=True): lambda own: text.plural(
            own[0].epochs, "epoch"
        ),
    }
    for rate in sorted({point.lr for point in run.swept}):
        cells[Column(f"{rate:g}", numeric=True)] = partial(_mean, run.metric, rate)
    yield tabulate(list(places.values()), cells)


def _mean(metric: MetricInfo, rate: float, points: Sequence[SweepPoint]) -> str:
    tried = [point for point in points if point.lr == rate]
    if not tried:
        return text.NONE
    if any(math.isnan(point.val_accuracy) for point in tried):
        return "failed"
    return metric.number(statistics.fmean(point.val_accuracy for point in tried))
