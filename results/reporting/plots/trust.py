"""Accuracy against every proxy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, ScalarFormatter

from results import text
from results.metric import ACCURACY, MetricInfo
from results.record import TrialRecord
from results.reporting.plots.axes import legend, mark, shorten
from results.reporting.svg import draw
from results.trust import Trust, explored_below, score_of

COLUMNS = 2


def against_proxies(
    trained: Sequence[TrialRecord],
    trust: Sequence[Trust],
    rung: int,
    metric: MetricInfo = ACCURACY,
) -> str:
    """Small multiples over one axis of the metric at ``rung``: one panel a proxy, then the
    controls.

    Explored trials have a look of their own.
    """
    rows = -(-len(trust) // COLUMNS)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flat
        for axes, proxy in zip(panels, trust, strict=False):
            _panel(axes, trained, proxy, rung, metric)
        for axes in list(panels)[len(trust) :]:
            axes.set_visible(False)
        figure.supylabel(_label(rung, metric), fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        if len(labels) > 1:
            legend(figure, 2, handles=handles, labels=labels)

    return draw("proxies", 0.5 + 1.75 * rows, paint)


def _label(rung: int, metric: MetricInfo) -> str:
    name = f"validation {metric.name} at rung {rung}"
    return f"{name}, {metric.unit}" if metric.unit else name


def _panel(
    axes: Axes, trained: Sequence[TrialRecord], proxy: Trust, rung: int, metric: MetricInfo
) -> None:
    for look, label, explored in (("trial", "promoted", False), ("explored", "explored", True)):
        dots = [
            (
                score_of(r, proxy.name),
                metric.value(r.accuracy[rung - 1]),
                _said(r, proxy.name, rung, metric),
            )
            for r in trained
            if explored_below(r, rung) == explored
        ]
        mark(axes, look, [d for d in dots if math.isfinite(d[0])], label, markersize=4.5)
    tau = f"τ = {text.correlation(proxy.kendall.value)}" if proxy.kendall else "no figure"
    axes.set_title(f"{shorten(proxy.name, 20)}: {tau}", fontsize=9)
    axes.margins(x=0.08, y=0.1)
    axes.ticklabel_format(axis="y", useOffset=False)
    plain = ScalarFormatter()
    plain.set_powerlimits((-2, 4))
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if proxy.control else plain)
    axes.locator_params(axis="x", nbins=3)


def _said(record: TrialRecord, proxy: str, rung: int, metric: MetricInfo) -> str:
    """Which trial it is, its score, what it reached and its FLOPs."""
    return (
        f"trial {record.number} ({record.origin}): {proxy} {score_of(record, proxy):,.6g}, "
        f"{metric.result('validation', record.accuracy[rung - 1])}, "
        f"{text.number(record.flops_fraction, 1)} % of FLOPs"
    )
