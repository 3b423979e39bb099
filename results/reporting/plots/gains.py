"""Where the gain comes from, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results import text
from results.gains import Gain
from results.metric import ACCURACY, MetricInfo
from results.reporting.plots.axes import rings, shorten, tested
from results.reporting.svg import BLACK, GREY, MARKERS, SKY, VERMILION, draw, titled

HEIGHT, RINGS = 0.34, 0.36
"""Of a bar, and how far under it the rings of the seeds are, in rows."""

UP: dict[str, Any] = {"facecolor": SKY, "edgecolor": BLACK}
DOWN: dict[str, Any] = {"facecolor": "white", "edgecolor": VERMILION, "hatch": "////"}


def waterfall(
    budgets: Mapping[str, Sequence[Gain]], unpruned: float | None, metric: MetricInfo = ACCURACY
) -> str:
    """A panel for each budget, a row for each step: a bar from the mean before to its own.

    Filled bars are gains, hatched ones losses. The interval is that of the gain, around the end of
    the bar; the dashed line is the result of the unpruned network.
    """
    rows = [len(own) for own in budgets.values()]

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows).flat
        for axes, (budget, own) in zip(panels, budgets.items(), strict=True):
            _panel(axes, own, unpruned, metric)
            if len(rows) > 1:
                axes.set_title(f"budget {budget}", fontsize=9, loc="left")
        figure.axes[-1].set_xlabel(metric.axis("test"))

    return draw("gains", 0.75 + 0.25 * (len(rows) - 1) + 0.5 * sum(rows), paint)


def _panel(axes: Axes, own: Sequence[Gain], unpruned: float | None, metric: MetricInfo) -> None:
    for place, gain in enumerate(own):
        mean = metric.value(gain.of.mean)
        rings(axes, place + RINGS, gain.of.test_accuracy, _said(gain), metric)
        if gain.before is None:
            (line,) = axes.plot(mean, place, linestyle="", **MARKERS["uniform"])
            titled(line, [tested(_said(gain), gain.of.test_accuracy, metric)])
        else:
            _bar(axes, place, gain, metric)
        if place + 1 < len(own):  # down to the next row, where its bar begins
            axes.plot([mean, mean], [place, place + 1 + HEIGHT / 2], color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(own)), [_label(gain, metric) for gain in own])
    axes.set_ylim(len(own) - 0.4, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="x", useOffset=False)
    if unpruned is not None:
        _reference(axes, metric.value(unpruned), f"unpruned {metric.number(unpruned)}")


def _reference(axes: Axes, x: float, name: str) -> None:
    """The line of the unpruned network, with its name on the side that has more room."""
    axes.axvline(x, color=BLACK, linestyle="--", linewidth=1)
    right = x > sum(axes.get_xlim()) / 2
    axes.annotate(
        name,
        (x, 1),
        (-3 if right else 3, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8,
    )


def _bar(axes: Axes, place: int, gain: Gain, metric: MetricInfo) -> None:
    """From the mean of the step before to its own, with the interval of the paired gain."""
    start = metric.value(gain.before.mean) if gain.before else 0.0
    length = metric.value(gain.of.mean) - start
    look = UP if metric.sign * length > 0 else DOWN
    (bar,) = axes.barh(place, length, HEIGHT, start, linewidth=0.8, **look)
    step = f"{gain.figure} {metric.step_unit}".rstrip()
    what = f"{tested(_said(gain), gain.of.test_accuracy, metric)}; {step} to the step before"
    titled(bar, [what])
    reach = metric.scale * gain.paired.half_width
    error = reach if reach == reach else None
    drawn = axes.errorbar(start + length, place, xerr=error, capsize=3, color=BLACK, marker="|")
    titled(drawn.lines[0], [what])


def _said(gain: Gain) -> str:
    fraction = text.number(gain.of.flops_fraction, 1)
    return f"{gain.of.step} ({gain.of.name}), {fraction} % of FLOPs"


def _label(gain: Gain, metric: MetricInfo) -> str:
    """The name of the step, and under it what it gained."""
    under = metric.with_unit(gain.of.mean) if gain.before is None else gain.figure
    return f"{shorten(gain.of.step, 24)}\n{under}"
