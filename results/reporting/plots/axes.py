"""What every picture's axes have in common."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results import text
from results.intervals import half_width
from results.record import TrialRecord
from results.reporting.svg import BLACK, MARKERS, titled

Dot = tuple[float, float, str]
"""(x as it is plotted, accuracy as a fraction, what it is in words)."""


def others(trials: Sequence[TrialRecord], top: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were trained, but not to the top."""
    numbers = {r.number for r in top}
    return [r for r in trials if r.rung > 0 and r.number not in numbers]


def dot(record: TrialRecord) -> Dot:
    """A trial in the plane of flops, in percent, and accuracy."""
    return 100 * record.flops_fraction, record.val_accuracy, said(record)


def said(record: TrialRecord) -> str:
    """Which trial it is, its FLOPs and its accuracy.

    >>> said(record)
    'trial 12 (surrogate): 49.0 % of FLOPs, 95.45 % of the validation images right'
    """
    return (
        f"trial {record.number} ({record.origin}): {text.number(record.flops_fraction, 1)} % of "
        f"FLOPs, {text.number(record.val_accuracy)} % of the validation images right"
    )


def mark(axes: Axes, look: str, dots: Sequence[Dot], label: str, **extra: Any) -> None:
    """Draw dots in one of the looks of `MARKERS`, accuracies in percent; none if there are none."""
    if dots:
        x, y, titles = zip(*dots, strict=True)
        percent = [100 * value for value in y]
        (line,) = axes.plot(x, percent, label=label, **{"linestyle": ""} | MARKERS[look] | extra)
        titled(line, titles)


def seeds(
    axes: Axes,
    height: float,
    accuracy: Sequence[float],
    below: float,
    cap: float,
    name: str,
    **look: Any,
) -> None:
    """A row of a picture: the mean and its 95 % interval, and a ring for each seed ``below`` it;
    ``name`` says of what."""
    percent = [100 * value for value in accuracy]
    rings(axes, height + below, accuracy, name)
    reach = half_width(accuracy)
    error = None if reach is None else 100 * reach
    mean = statistics.fmean(percent)
    drawn = axes.errorbar(mean, height, xerr=error, capsize=cap, ecolor=BLACK, **look)
    titled(drawn.lines[0], [tested(name, accuracy)])


def rings(axes: Axes, height: float, accuracy: Sequence[float], name: str) -> None:
    """A ring for the accuracy of each seed."""
    percent = [100 * value for value in accuracy]
    (line,) = axes.plot(percent, [height] * len(percent), linestyle="", **MARKERS["seed"])
    titled(line, [f"{name}: {value:.2f} % of the test images right, one seed" for value in percent])


def tested(name: str, accuracy: Sequence[float]) -> str:
    """The mean test accuracy of a network, in words."""
    seeds = text.plural(len(accuracy), "seed")
    return f"{name}: {text.mean_interval(accuracy)} % of the test images right, {seeds}"


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
