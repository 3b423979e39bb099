"""How the search went."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, cycle

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results import text
from results.data import RunData
from results.pareto import finished
from results.record import TrialRecord
from results.reporting.plots.axes import Dot, finish, mark, others, said
from results.reporting.svg import BLACK, BLUE, GREEN, MARKERS, PURPLE, draw, titled

LINES = ("-", "--", "-.", ":")


def history(run: RunData) -> str:
    """The validation metric by trial number, with the best so far at each budget."""
    top, metric = finished(run.records), run.metric
    last = max(r.number for r in run.records)
    failed = [r for r in run.records if r.state == "failed"]

    def dots(trials: Sequence[TrialRecord]) -> list[Dot]:
        return [(r.number, metric.value(r.val_accuracy), said(r, metric)) for r in trials]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        mark(axes, "less", dots(others(run.records, top)), "trained for less")
        mark(axes, "trial", dots(top), "trials")
        compared = ((budget, run.compared_at(budget)) for budget in [*run.budgets, None])
        there = ((budget, trials) for budget, trials in compared if trials)
        for style, (budget, trials) in zip(cycle(LINES), there, strict=False):
            best = [*map(metric.value, accumulate((r.val_accuracy for r in trials), max))]
            x = [*(r.number for r in trials), last]
            label = f"best so far at {budget}" if budget else "best so far"
            axes.step(x, [*best, best[-1]], linestyle=style, where="post", color=BLUE, label=label)
        if failed:  # without a result, so they stand on the axis
            foot = axes.get_xaxis_transform()
            look = {"linestyle": "", "label": "failed", "transform": foot, **MARKERS["failed"]}
            numbers = [r.number for r in failed]
            (line,) = axes.plot(numbers, [0.02] * len(numbers), **look)
            titled(line, [f"trial {r.number} failed: {r.reason}" for r in failed])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        finish(figure, axes, metric.axis("validation"), "trial")

    return draw("history", 3.2, paint)


def volumes(lines: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Hypervolume after each trial that ended, one line for each of these titles."""
    looks = zip((BLUE, GREEN, PURPLE), (2.0, 1.5, 1.5), LINES, strict=False)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (title, values), (colour, width, style) in zip(lines, looks, strict=False):
            # Before the first front there is no area to speak of, only a long way up.
            above_zero = [(i, value) for i, value in enumerate(values, 1) if value > 0]
            x, y = zip(*above_zero, strict=True)
            axes.step(
                x, y, where="post", label=title, color=colour, linewidth=width, linestyle=style
            )
            (last,) = axes.plot(
                x[-1], y[-1], marker="o", markersize=4, color=colour, markeredgecolor=BLACK
            )
            titled(last, [f"{title}: {y[-1]:.5f} after {text.plural(x[-1], 'trial')}"])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        finish(figure, axes, "hypervolume of the front", "trials that ended")

    return draw("hypervolume", 3.0, paint)
