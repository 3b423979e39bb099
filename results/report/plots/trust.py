"""Accuracy against every proxy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, ScalarFormatter

from results import text
from results.record import TrialRecord
from results.report.plots.axes import legend, mark, shorten
from results.report.svg import draw
from results.trust import Trust, score_of

COLUMNS = 2


def against_proxies(trained: Sequence[TrialRecord], trust: Sequence[Trust], rung: int) -> str:
    """Small multiples over one axis of accuracy at ``rung``: one panel a proxy, then the controls.

    Those that only the coin brought to that rung have a look of their own.
    """
    rows = -(-len(trust) // COLUMNS)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flat
        for axes, one in zip(panels, trust, strict=False):
            _panel(axes, trained, one, rung)
        for axes in list(panels)[len(trust) :]:
            axes.set_visible(False)
        figure.supylabel(f"validation accuracy at rung {rung}, %", fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        if len(labels) > 1:
            legend(figure, 2, handles=handles, labels=labels)

    return draw("proxies", 0.5 + 1.75 * rows, paint)


def _panel(axes: Axes, trained: Sequence[TrialRecord], one: Trust, rung: int) -> None:
    for look, label, lucky in (("trial", "climbed on merit", False), ("coin", "by coin", True)):
        dots = [
            (score_of(r, one.name), r.accuracy[rung - 1])
            for r in trained
            if (min(r.explored, default=rung) < rung) == lucky
        ]
        mark(axes, look, [d for d in dots if math.isfinite(d[0])], label, markersize=4.5)
    tau = f"τ = {text.correlation(one.kendall.value)}" if one.kendall else "no figure"
    axes.set_title(f"{shorten(one.name, 20)}: {tau}", fontsize=9)
    axes.margins(x=0.08, y=0.1)
    axes.ticklabel_format(axis="y", useOffset=False)
    plain = ScalarFormatter()
    plain.set_powerlimits((-2, 4))
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if one.control else plain)
    axes.locator_params(axis="x", nbins=3)
