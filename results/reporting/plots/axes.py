"""What every picture's axes have in common."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.intervals import half_width
from results.record import TrialRecord
from results.reporting.svg import BLACK, MARKERS

Dot = tuple[float, float]
"""(x as it is plotted, accuracy as a fraction)."""


def others(trials: Sequence[TrialRecord], top: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were trained, but not to the top."""
    numbers = {r.number for r in top}
    return [r for r in trials if r.rung > 0 and r.number not in numbers]


def dot(record: TrialRecord) -> Dot:
    """A trial in the plane of flops, in percent, and accuracy."""
    return 100 * record.flops_fraction, record.val_accuracy


def mark(axes: Axes, look: str, dots: Sequence[Dot], label: str, **extra: Any) -> None:
    """Draw dots in one of the looks of `MARKERS`, accuracies in percent; none if there are none."""
    if dots:
        x, y = zip(*dots, strict=True)
        percent = [100 * value for value in y]
        axes.plot(x, percent, label=label, **{"linestyle": ""} | MARKERS[look] | extra)


def seeds(
    axes: Axes, height: float, accuracy: Sequence[float], below: float, cap: float, **look: Any
) -> None:
    """A row of a picture: the mean and its 95 % interval, and a ring for each seed ``below`` it."""
    percent = [100 * value for value in accuracy]
    axes.plot(percent, [height + below] * len(percent), linestyle="", **MARKERS["seed"])
    reach = half_width(accuracy)
    error = None if reach is None else 100 * reach
    mean = statistics.fmean(percent)
    axes.errorbar(mean, height, xerr=error, capsize=cap, ecolor=BLACK, **look)


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
