"""The report's pictures. Each function gives one ``<svg>`` element; all axes are in percent."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results.pareto import finished, trial_front
from results.record import TrialRecord
from results.report.svg import BLACK, BLUE, MARKERS, PALE, draw
from results.report.view import Row, View, Widths

Dot = tuple[float, float]
"""(x as it is plotted, accuracy as a fraction)."""


LINES = ("-", "--", "-.", ":")


def front(view: View) -> str:
    """All trials beside the baseline, uniform widths and the front, on the validation split."""
    return _front("front", view.records, view.rows(), {})


def close_up(view: View, budget: str, limit: float) -> str:
    """The trials just under one budget, which lie on one another in `front`.

    ``limit`` is the budget as a fraction of the unpruned network's flops.
    """
    rows = [row for row in view.rows() if row.budget == budget]
    place = view.budget_names.index(budget)
    return _front(f"close-up-{place}", view.compared_at(budget), rows, {f"budget {budget}": limit})


def _front(
    name: str, trials: Sequence[TrialRecord], rows: Sequence[Row], limits: Mapping[str, float]
) -> str:
    top, best = finished(trials), trial_front(trials)
    less = _others(trials, top)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _dots(axes, "less", [_dot(r) for r in less], "trained for less")
        _dots(axes, "trial", [_dot(r) for r in top], "trials")
        for label, limit in limits.items():
            axes.axvline(100 * limit, color=BLACK, linestyle=":", linewidth=1, label=label)
        _dots(axes, "searched", [_dot(r) for r in best], "searched front", linestyle="-")
        for role, label in (("uniform", "uniform widths"), ("baseline", "baseline")):
            known = [(r.flops_fraction, r.val_accuracy) for r in rows if r.role == role]
            dots = [(100 * x, y) for x, y in known if x is not None and y is not None]
            _dots(axes, role, dots, label)
        _finish(figure, axes, "validation accuracy, %")

    return draw(name, 3.5, paint)


def final_accuracy(view: View) -> str:
    """The final networks on the test split: every seed, their mean and standard deviation."""
    rows = [row for row in view.rows() if row.test_accuracy]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for place, row in enumerate(rows):
            values = [100 * value for value in row.test_accuracy]
            spread = statistics.stdev(values) if len(values) > 1 else None
            axes.plot(values, [place + 0.28] * len(values), linestyle="", **MARKERS["seed"])
            axes.errorbar(statistics.fmean(values), place, xerr=spread, **MARKERS[row.role])
        axes.set_yticks(range(len(rows)), [_shorten(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.3, -0.6)
        axes.margins(x=0.06)
        axes.set_xlabel("test accuracy, %")
        axes.ticklabel_format(axis="x", useOffset=False)

    return draw("final", 0.7 + 0.34 * len(rows), paint)


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
        axes.set_yticks(rows, [_shorten(name) for name in names])
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6))
        axes.set_xlabel("channels kept, % of the original")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper center", ncols=3)

    return draw(f"widths-{place}", 0.9 + 0.21 * len(names), paint)


def history(view: View) -> str:
    """Validation accuracy by trial number, with the best so far at each budget."""
    top = finished(view.records)
    less = [(r.number, r.val_accuracy) for r in _others(view.records, top)]
    last = max(r.number for r in view.records)
    failed = [r.number for r in view.records if r.state == "failed"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _dots(axes, "less", less, "trained for less")
        _dots(axes, "trial", [(r.number, r.val_accuracy) for r in top], "trials")
        for style, (budget, trials) in zip(cycle(LINES), _by_budget(view), strict=False):
            x, best = _best_so_far(trials, last)
            label = f"best so far at {budget}" if budget else "best so far"
            axes.step(x, best, linestyle=style, where="post", color=BLUE, label=label)
        _crosses(axes, failed)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _finish(figure, axes, "validation accuracy, %", "trial")

    return draw("history", 3.2, paint)


def _crosses(axes: Axes, numbers: Sequence[int]) -> None:
    """Failed trials have no accuracy, so they stand on the axis."""
    if numbers:
        height = [0.02] * len(numbers)
        axes.plot(
            numbers,
            height,
            linestyle="",
            label="failed",
            transform=axes.get_xaxis_transform(),
            **MARKERS["failed"],
        )


def _by_budget(view: View) -> list[tuple[str | None, list[TrialRecord]]]:
    compared = [(budget, view.compared_at(budget)) for budget in [*view.budgets, None]]
    return [(budget, trials) for budget, trials in compared if trials]


def _best_so_far(trials: Sequence[TrialRecord], last: int) -> tuple[list[int], list[float]]:
    best: list[float] = []
    for r in trials:
        best.append(max([100 * r.val_accuracy, *best[-1:]]))
    return [*(r.number for r in trials), last], [*best, best[-1]]


def _others(trials: Sequence[TrialRecord], top: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were trained, but not to the top."""
    numbers = {r.number for r in top}
    return [r for r in trials if r.rung > 0 and r.number not in numbers]


def _dot(record: TrialRecord) -> Dot:
    return 100 * record.flops_fraction, record.val_accuracy


def _dots(axes: Axes, look: str, dots: Sequence[Dot], label: str, **extra: Any) -> None:
    if dots:
        x, y = zip(*dots, strict=True)
        percent = [100 * value for value in y]
        axes.plot(x, percent, label=label, **{"linestyle": ""} | MARKERS[look] | extra)


def _finish(
    figure: Figure, axes: Axes, ylabel: str, xlabel: str = "FLOPs, % of the unpruned network"
) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.margins(x=0.06, y=0.1)
    axes.ticklabel_format(useOffset=False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=3, handletextpad=0.4, columnspacing=1.2)


def _shorten(name: str, length: int = 28) -> str:
    """The end of a long name: that is where layers of one network differ."""
    return name if len(name) <= length else "\N{HORIZONTAL ELLIPSIS}" + name[1 - length :]
