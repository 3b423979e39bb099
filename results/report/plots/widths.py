"""How many channels each group keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from results.report.plots.axes import shorten
from results.report.svg import BLUE, MARKERS, PALE, draw
from results.report.view import Widths
from spaces import Policy

# One hue from light to dark: the order is the same for every eye and on a grey printer.
SCALE = LinearSegmentedColormap.from_list("kept", ["#ffffff", "#9ecae1", "#2171b5", "#08306b"])
DARK = 0.55
"""Shares from here on are written in white."""
ROW_INCHES, HEAD_INCHES = 0.2, 1.9
CELLS_POINTS = 215
"""Width of all cells together, and of a digit in them."""
DIGIT_POINTS = 4.4


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
    shares = np.array(
        [
            [np.nan if width is None else width / channels[name] for width in row]
            for name, row in zip(names, kept, strict=True)
        ],
        dtype=float,
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.pcolormesh(shares, cmap=SCALE, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
        if numbers_fit(kept):
            _numbers(axes, kept, shares)
        axes.set_yticks(np.arange(len(names)) + 0.5, [shorten(name, 22) for name in names])
        axes.set_xticks(np.arange(len(columns)) + 0.5, list(columns), rotation=90)
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


def _numbers(axes: Axes, kept: Sequence[Sequence[int | None]], shares: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if not np.isnan(share):
            colour = "white" if share > DARK else "black"
            axes.text(
                column + 0.5,
                row + 0.52,
                str(kept[row][column]),
                ha="center",
                va="center",
                fontsize=7.5,
                color=colour,
            )


def widths(picture: Widths, channels: Mapping[str, int], place: int) -> str:
    """One bar a group: the share of its channels that stays, beside the original and uniform.

    ``channels`` gives the widths of the unpruned network, ``place`` tells several pictures apart.
    """
    names = [name for name in picture.policy if name in channels]
    rows = range(len(names))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(rows, [100.0] * len(names), 0.78, color=PALE, label="original")
        kept = [100 * picture.policy[name] / channels[name] for name in names]
        axes.barh(rows, kept, 0.78, color=BLUE, label="kept")
        if picture.uniform is not None:
            shares = [100 * picture.uniform.get(name, 0) / channels[name] for name in names]
            axes.plot(shares, rows, linestyle="", label="uniform", **MARKERS["tick"])
        for row, name in zip(rows, names, strict=True):
            axes.text(102, row, f"{picture.policy[name]} / {channels[name]}", va="center")
        axes.set_yticks(rows, [shorten(name) for name in names])
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6))
        axes.set_xlabel("channels kept, % of the original")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper center", ncols=3)

    return draw(f"widths-{place}", 0.9 + 0.21 * len(names), paint)
