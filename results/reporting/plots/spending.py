"""What a run cost, and what stopping early saved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from results import text
from results.reporting.plots.axes import legend
from results.reporting.svg import (
    BLUE,
    GREEN,
    GREY,
    HATCHES,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    draw,
    titled,
)

COLOURS = (SKY, BLUE, ORANGE, GREEN, PURPLE, VERMILION, GREY)

Bar = Sequence[tuple[str, float]]
"""Parts with their names, in the order in which they lie on one another."""


def spending(parts: Sequence[str], panels: Sequence[tuple[str, Sequence[tuple[str, Bar]]]]) -> str:
    """Stacked bars: one panel a unit, with bars by their titles.

    ``parts`` is the order of the legend; each has one look in all panels.
    """
    looks: dict[str, dict[str, Any]] = {
        part: {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.6}
        for part, colour, hatch in zip(parts, cycle(COLOURS), cycle(HATCHES), strict=False)
    }

    def paint(figure: Figure) -> None:
        rows = figure.subplots(len(panels), 1, squeeze=False).flat
        for axes, (unit, bars) in zip(rows, panels, strict=True):
            for place, (title, bar) in enumerate(bars):
                left = 0.0
                for part, value in bar:
                    (drawn,) = axes.barh(place, value, 0.62, left, **looks[part])
                    titled(drawn, [f"{title}, {part}: {_amount(value)} {unit}"])
                    left += value
            axes.set_yticks(range(len(bars)), [title for title, _ in bars])
            axes.set_ylim(len(bars) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="y", visible=False)
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
            axes.set_xlabel(unit)
            axes.margins(x=0.04)
        legend(figure, 3, handles=[Patch(label=part, **look) for part, look in looks.items()])

    bars = sum(len(bars) for _, bars in panels)
    return draw("spending", 0.55 + 0.55 * len(panels) + 0.42 * bars, paint)


def _amount(value: float) -> str:
    return text.count(value) if value >= 1000 else text.figure(value)
