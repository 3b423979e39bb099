"""How many channels each group keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from results.reporting.plots.axes import shorten
from results.reporting.svg import draw
from spaces import Policy

# One hue from light to dark: the order is the same for every eye and on a grey printer.
SCALE = LinearSegmentedColormap.from_list("kept", ["#ffffff", "#9ecae1", "#2171b5", "#08306b"])
DARK = 0.63
"""Shares above this are written in white: there black would be harder to read."""
WRITTEN: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5}
ROW_INCHES, HEAD_INCHES = 0.2, 1.9
CELLS_POINTS, DIGIT_POINTS = 215, 4.4
"""Width of all cells together, and of a digit in them."""
SMALLEST = 5.5
"""Points of the smallest title; where columns are narrower, some stay without one."""


def heat_map(
    names: Sequence[str],
    channels: Mapping[str, int],
    columns: Mapping[str, Policy],
    place: int = 0,
) -> str:
    """Groups × policies: how large a share of its channels each group keeps, and how many.

    Args:
        names: the groups that are shown, in the order of the network.
        channels: the widths of the unpruned network.
        columns: title to policy; a group that a policy does not know stays empty.
        place: tells several pictures apart.
    """
    kept = [[policy.get(name) for policy in columns.values()] for name in names]
    shares = np.array(kept, dtype=float) / np.array([[channels[name]] for name in names])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.pcolormesh(shares, cmap=SCALE, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
        if numbers_fit(kept):
            for (row, column), share in np.ndenumerate(shares):
                if not np.isnan(share):
                    ink, width = "white" if share > DARK else "black", str(kept[row][column])
                    axes.text(column + 0.5, row + 0.52, width, color=ink, **WRITTEN)
        axes.set_yticks(np.arange(len(names)) + 0.5, [shorten(name, 22) for name in names])
        _head(axes, list(columns))
        axes.xaxis.tick_top()
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        scale = ScalarMappable(Normalize(0, 100), SCALE)
        bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=40, pad=0.02)
        bar.set_label("channels kept, % of the original")

    return draw(f"widths-{place}", HEAD_INCHES + ROW_INCHES * len(names), paint)


def numbers_fit(kept: Sequence[Sequence[int | None]]) -> bool:
    """Whether the widths can be written into the cells."""
    digits = max((len(str(width)) for row in kept for width in row), default=0)
    return max(map(len, kept), default=0) * (digits * DIGIT_POINTS + 2) <= CELLS_POINTS


def _head(axes: Axes, titles: Sequence[str]) -> None:
    """Titles over the columns, as large as they fit."""
    room = CELLS_POINTS / len(titles)
    step = math.ceil(SMALLEST / room)
    places = np.arange(0, len(titles), step)
    size = min(9.0, max(SMALLEST, 0.85 * room))
    axes.set_xticks(places + 0.5, titles[::step], rotation=90, fontsize=size)
