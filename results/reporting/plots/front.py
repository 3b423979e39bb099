"""Accuracy against FLOPs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.figure import Figure

from results import text
from results.data import RunData
from results.pareto import finished, trial_front
from results.record import TrialRecord
from results.reporting.networks import Row, networks
from results.reporting.origins import NAMES, Origin, origin_of
from results.reporting.plots.axes import Dot, dot, finish, mark, others, seeds, shorten_about
from results.reporting.svg import BLACK, MARKERS, draw, titled

WIDEST_LABEL = 22
"""Letters in a line under one of two panels."""

BASELINES: tuple[Origin, ...] = ("random", "ranking", "sensitivity", "uniform")


def front(run: RunData) -> str:
    """All trials, the unpruned network, the front and what it has to beat."""
    return _front("front", run, run.records, networks(run), {})


def close_up(run: RunData, budget: str, limit: float) -> str:
    """The trials just under one budget, which lie on one another in `front`.

    ``limit`` is the budget as a fraction of the unpruned network's flops.
    """
    place = run.budget_names.index(budget)
    trials = run.compared_at(budget)
    return _front(f"close-up-{place}", run, trials, [], {f"budget {budget}": limit})


def _front(
    name: str,
    run: RunData,
    trials: Sequence[TrialRecord],
    rows: Sequence[Row],
    limits: Mapping[str, float],
) -> str:
    top, best = finished(trials), trial_front(trials)
    less = others(trials, top)
    metric = run.metric
    baseline = [(r.flops_fraction, r.val_accuracy) for r in rows if r.role == "baseline"]
    unpruned = [
        (100 * x, metric.value(y), f"the unpruned network: {metric.result('validation', y)}")
        for x, y in baseline
        if x is not None and y is not None
    ]

    def dots(trials: Iterable[TrialRecord]) -> list[Dot]:
        return [dot(r, metric) for r in trials]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        mark(axes, "less", dots(less), "trained for less")
        for label, limit in limits.items():
            axes.axvline(100 * limit, color=BLACK, linestyle=":", linewidth=1, label=label)
        searched = dots(r for r in top if origin_of(run, r) == "searched")
        mark(axes, "trial", searched, "searched")
        mark(axes, "searched", dots(best), "front", linestyle="-")
        for origin in BASELINES:
            mark(axes, origin, dots(r for r in top if origin_of(run, r) == origin), NAMES[origin])
        mark(axes, "baseline", unpruned, "unpruned network")
        share = f"{run.kind.title}, % of the unpruned network"
        finish(figure, axes, metric.axis("validation"), share)

    return draw(name, 3.7, paint)


def final_accuracy(run: RunData) -> str:
    """The final networks: on the validation split in the search, and every seed on the test
    split."""
    rows, metric = [row for row in networks(run) if row.test_accuracy], run.metric

    def paint(figure: Figure) -> None:
        before, after = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.7))
        for place, row in enumerate(rows):
            if row.val_accuracy is not None:
                height = metric.value(row.val_accuracy)
                (line,) = before.plot(height, place, **MARKERS[row.role])
                titled(line, [f"{_said(row)}: {metric.result('validation', row.val_accuracy)}"])
            look = MARKERS[row.role]
            seeds(after, place, row.test_accuracy, 0.28, 3, _said(row), metric, **look)
        before.set_yticks(range(len(rows)), [shorten_about(row.name, 22) for row in rows])
        before.set_ylim(len(rows) - 0.3, -0.6)
        for axes, split, when in ((before, "validation", "search"), (after, "test", "final")):
            what = f"{split}, %" if metric.counts_images else metric.axis(split)
            what = textwrap.fill(what, WIDEST_LABEL)
            axes.margins(x=0.1)
            axes.set_xlabel(f"{what}\n({when})")
            axes.locator_params(axis="x", nbins=4)
            axes.ticklabel_format(axis="x", useOffset=False)
        before.tick_params(axis="y", length=0)
        after.tick_params(axis="y", length=0)

    return draw("final", 0.9 + 0.34 * len(rows), paint)


def _said(row: Row) -> str:
    return f"{row.name}, {text.number(row.flops_fraction, 1)} % of FLOPs"
