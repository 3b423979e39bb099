"""What every picture's axes have in common."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results import text
from results.intervals import half_width
from results.metric import MetricInfo
from results.record import TrialRecord
from results.reporting.svg import BLACK, MARKERS, titled

Dot = tuple[float, float, str]
"""(x and y as they are plotted, what it is in words)."""


def others(trials: Sequence[TrialRecord], top: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were trained, but not to the top."""
    numbers = {r.number for r in top}
    return [r for r in trials if r.rung > 0 and r.number not in numbers]


def dot(record: TrialRecord, metric: MetricInfo) -> Dot:
    """A trial in the plane of what the budgets limit, in percent, and the metric."""
    return 100 * record.size_fraction, metric.value(record.val_accuracy), said(record, metric)


def said(record: TrialRecord, metric: MetricInfo) -> str:
    """Which trial it is, its FLOPs and what it reached.

    >>> said(record, ACCURACY)
    'trial 12 (surrogate): 49.0 % of FLOPs, 95.45 % of the validation images right'
    """
    return (
        f"trial {record.number} ({record.origin}): {text.number(record.flops_fraction, 1)} % of "
        f"FLOPs, {metric.result('validation', record.val_accuracy)}"
    )


def mark(axes: Axes, look: str, dots: Sequence[Dot], label: str, **extra: Any) -> None:
    """Draw dots in one of the looks of `MARKERS`; none if there are none."""
    if dots:
        x, y, titles = zip(*dots, strict=True)
        (line,) = axes.plot(x, y, label=label, **{"linestyle": ""} | MARKERS[look] | extra)
        titled(line, titles)


def seeds(
    axes: Axes,
    height: float,
    scores: Sequence[float],
    below: float,
    cap: float,
    name: str,
    metric: MetricInfo,
    **look: Any,
) -> None:
    """A row of a picture: the mean and its 95 % interval, and a ring for each seed ``below`` it;
    ``name`` says of what."""
    rings(axes, height + below, scores, name, metric)
    reach = half_width(scores)
    error = None if reach is None else metric.scale * reach
    mean = statistics.fmean(map(metric.value, scores))
    drawn = axes.errorbar(mean, height, xerr=error, capsize=cap, ecolor=BLACK, **look)
    titled(drawn.lines[0], [tested(name, scores, metric)])


def rings(
    axes: Axes, height: float, scores: Sequence[float], name: str, metric: MetricInfo
) -> None:
    """A ring for the result of each seed."""
    x = [*map(metric.value, scores)]
    (line,) = axes.plot(x, [height] * len(x), linestyle="", **MARKERS["seed"])
    titled(line, [f"{name}: {metric.result('test', score)}, one seed" for score in scores])


def tested(name: str, scores: Sequence[float], metric: MetricInfo) -> str:
    """What a network reached on the test split, in words."""
    return f"{name}: {metric.result('test', *scores)}, {text.plural(len(scores), 'seed')}"


def finish(
    figure: Figure, axes: Axes, ylabel: str, xlabel: str = "FLOPs, % of the unpruned network"
) -> None:
    """Labels, margins and, above the axes, the legend."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.margins(x=0.06, y=0.1)
    axes.ticklabel_format(useOffset=False)
    if axes.get_legend_handles_labels()[0]:
        legend(figure)


def legend(figure: Figure, columns: int = 3, **what: Any) -> None:
    """Above everything that is drawn."""
    look: dict[str, Any] = {"handletextpad": 0.4, "columnspacing": 0.9}
    figure.legend(loc="outside upper center", ncols=columns, **look | what)


def shorten(name: str, length: int = 28) -> str:
    """The end of a long name: that is where layers of one network differ."""
    return name if len(name) <= length else "\N{HORIZONTAL ELLIPSIS}" + name[1 - length :]


def shorten_about(name: str, length: int) -> str:
    """``trial 9 (…_damage, l1)``: the trial stays, what is said about it in brackets is shortened;
    at least its last letters are left."""
    trial, bracket, about = name.rpartition(" (")
    before = trial + bracket
    return before + shorten(about, max(length - len(before), 6))
