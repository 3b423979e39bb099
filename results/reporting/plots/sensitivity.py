"""What cutting one group alone costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from results import text
from results.metric import ACCURACY, MetricInfo
from results.reporting.plots.axes import legend, shorten
from results.reporting.svg import BLUE, VERMILION, draw, titled
from results.sensitivity import SensitivityRecord

COLUMNS = 3
PANEL_INCHES = 1.05
# Worst channels first is one look, random channels another, also without colour.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": VERMILION, "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
)


def damages(
    groups: Sequence[str],
    measured: Sequence[SensitivityRecord],
    labels: Mapping[str, str],
    ylabel: str,
    place: str = "0",
    metric: MetricInfo = ACCURACY,
) -> str:
    """Small multiples over common axes, one panel a group: damage against the share that is cut.

    Args:
        groups: the panels, in the order of the network.
        measured: all in one unit.
        labels: sensitivity to its name in the legend; it has a line in every panel.
        place: tells several pictures apart.
        metric: what the unit ``accuracy`` stands for.
    """
    rows = -(-len(groups) // COLUMNS)
    scale = metric.scale if measured[0].unit == "accuracy" else 1.0

    def paint(figure: Figure) -> None:
        panels = list(figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flat)
        for axes, group in zip(panels, groups, strict=False):
            for look, name in zip(LOOKS, labels, strict=False):
                for r in (r for r in measured if (r.sensitivity, r.group) == (name, group)):
                    cut = [100 * (1 - width / r.channels) for width in (*r.widths, r.channels)]
                    worse = [scale * damage for damage in (*r.damages, 0.0)]
                    (line,) = axes.plot(cut, worse, label=labels[name], markersize=3, **look)
                    titled(line, _said(r, metric))
            axes.set_title(shorten(group, 18), fontsize=8)
            axes.set_xticks([0, 50, 100])
        for axes in panels[len(groups) :]:
            axes.set_visible(False)
        figure.supxlabel("channels cut, % of the group's", fontsize=9)
        figure.supylabel(ylabel, fontsize=9)
        if len(labels) > 1:
            handles, names = panels[0].get_legend_handles_labels()
            legend(figure, 2, handles=handles, labels=names)

    return draw(f"sensitivity-{place}", 0.6 + PANEL_INCHES * rows, paint)


def _said(record: SensitivityRecord, metric: MetricInfo) -> list[str]:
    """Of each width, the whole one last: how many channels stay, and the damage."""
    what = f"of {metric.name}" if record.unit == "accuracy" else "of loss"
    pairs = zip((*record.widths, record.channels), (*record.damages, 0.0), strict=True)
    return [
        f"{record.group}, {width} of {record.channels} channels: damage {text.figure(damage)} "
        f"{what} ({record.sensitivity})"
        for width, damage in pairs
    ]
