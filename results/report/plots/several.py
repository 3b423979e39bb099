"""Several runs in one picture; each has a colour, a marker and a line of its own."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from matplotlib.figure import Figure

from results.intervals import half_width
from results.record import FinalRecord, TrialRecord
from results.report.plots.axes import dot, finish, shorten
from results.report.svg import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, draw

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, GREY)
MARKS = "Ds^ovPX"  # one fewer than colours, so that pairs come back late
LINES = ("-", "--", "-.", ":")


def fronts(trials: Mapping[str, Sequence[TrialRecord]]) -> str:
    """The front of every run on the validation split."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (name, front), look in zip(trials.items(), _looks(len(trials)), strict=True):
            dots = [dot(r) for r in front]
            x, y = [x for x, _ in dots], [100 * y for _, y in dots]
            axes.plot(x, y, label=shorten(name, 22), **look)
        finish(figure, axes, "validation accuracy, %")

    return draw("fronts", 3.7, paint)


def finals(tested: Mapping[str, Sequence[FinalRecord]]) -> str:
    """The final networks of every run on the test split: mean and 95 % interval over seeds."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (name, each), look in zip(tested.items(), _looks(len(tested)), strict=True):
            reaches = [half_width(f.test_accuracy) for f in each]
            axes.errorbar(
                [100 * f.flops_fraction for f in each],
                [100 * statistics.fmean(f.test_accuracy) for f in each],
                yerr=[100 * (reach or 0.0) for reach in reaches],
                label=shorten(name, 22),
                capsize=3,
                **look | {"linestyle": ""},
            )
        finish(figure, axes, "test accuracy, %")

    return draw("tested", 3.7, paint)


def volumes(histories: Mapping[str, Sequence[float]]) -> str:
    """Hypervolume of every run's front against the trials that had ended."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (name, history), look in zip(histories.items(), _looks(len(histories)), strict=True):
            often = max(1, len(history) // 8)
            axes.plot(
                range(1, len(history) + 1),
                history,
                label=shorten(name, 22),
                markevery=often,
                drawstyle="steps-post",
                **look,
            )
        finish(figure, axes, "hypervolume of the front", "trials that ended")

    return draw("volumes", 3.2, paint)


def _looks(n: int) -> list[dict[str, Any]]:
    looks = zip(cycle(COLOURS), cycle(MARKS), cycle(LINES), strict=False)
    return [
        {"color": colour, "marker": marker, "linestyle": line, "markersize": 6}
        for colour, marker, line in islice(looks, n)
    ]
