"""Every structure in every arm."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from results.arms import ARMS
from results.metric import ACCURACY, MetricInfo
from results.reporting.plots.axes import legend, seeds, shorten
from results.reporting.svg import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, draw

Line = tuple[str, str, Sequence[float]]
"""Structure, arm, and the test score of every seed."""

_SHAPES = (
    *(("D", BLUE), ("v", SKY), ("X", PURPLE), ("^", ORANGE), ("s", VERMILION), ("o", GREEN)),
    *(("P", GREY), ("<", BLACK), (">", BLUE), ("h", ORANGE)),
)
"""Marker and colour of every arm, in the order of `ARMS`."""


def arms(name: str, lines: Sequence[Line], metric: MetricInfo = ACCURACY) -> str:
    """A line for every structure and arm: each seed as a small ring, the mean and its interval.

    Every arm has a marker of its own; those of fresh weights are hollow. ``name`` tells the
    pictures of one report apart.
    """
    structures = list(dict.fromkeys(structure for structure, _, _ in lines))
    heights = [i + 0.8 * structures.index(line[0]) for i, line in enumerate(lines)]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for height, (structure, arm, scores) in zip(heights, lines, strict=True):
            if scores:
                said, look = f"{structure}, {arm}", {"linewidth": 1} | _look(arm)
                seeds(axes, height, scores, 0.36, 2.5, said, metric, **look)
        middles = [
            statistics.fmean(y for y, line in zip(heights, lines, strict=True) if line[0] == own)
            for own in structures
        ]
        axes.set_yticks(middles, [shorten(structure, 16) for structure in structures])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_ylim(heights[-1] + 0.9, -0.9)
        axes.set_xlabel(metric.axis("test"))
        axes.margins(x=0.06)
        if metric.percent:
            low, high = axes.get_xlim()
            axes.set_xlim(max(low, 0.0), min(high, 101.0))  # intervals know nothing of 100 %
        axes.ticklabel_format(axis="x", useOffset=False)
        handles = [
            axes.plot([], [], linestyle="", label=arm, **_look(arm))[0]
            for arm in ARMS
            if any(line[1] == arm for line in lines)
        ]
        legend(figure, 3, handles=handles)

    return draw(name, 1.1 + 0.17 * (heights[-1] + 1), paint)


def _look(arm: str) -> dict[str, Any]:
    marker, colour = _SHAPES[list(ARMS).index(arm) % len(_SHAPES)]
    fill: dict[str, Any]
    if ARMS[arm].inherits:
        fill = {"color": colour, "markeredgecolor": BLACK}
    else:
        fill = {"color": "white", "markeredgecolor": colour, "markeredgewidth": 1.8}
    return {"marker": marker, "markersize": 6.5} | fill
