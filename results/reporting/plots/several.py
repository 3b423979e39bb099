"""Several runs in one picture; each has a colour, a marker and a line of its own."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, TypeVar

from matplotlib.figure import Figure

from results import text
from results.intervals import half_width
from results.metric import MetricInfo
from results.record import FinalRecord, TrialRecord
from results.reporting.plots.axes import dot, finish, shorten
from results.reporting.plots.axes import tested as as_tested
from results.reporting.svg import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    draw,
    titled,
)

T = TypeVar("T")

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, GREY)
MARKS = "Ds^ovPX"  # one fewer than colours, so that pairs come back late
LINES = ("-", "--", "-.", ":")


def fronts(trials: Mapping[str, Sequence[TrialRecord]], metric: MetricInfo) -> str:
    """The front of every run on the validation split."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, front, look in _looks(trials):
            dots = [dot(r, metric) for r in front]
            (line,) = axes.plot([x for x, _, _ in dots], [y for _, y, _ in dots], **look)
            titled(line, [f"{name}, {title}" for _, _, title in dots])
        finish(figure, axes, metric.axis("validation"))

    return draw("fronts", 3.7, paint)


def finals(tested: Mapping[str, Sequence[FinalRecord]], metric: MetricInfo) -> str:
    """The final networks of every run on the test split: mean and 95 % interval over seeds."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, each, look in _looks(tested):
            drawn = axes.errorbar(
                [100 * f.flops_fraction for f in each],
                [metric.value(statistics.fmean(f.test_accuracy)) for f in each],
                yerr=[metric.scale * (half_width(f.test_accuracy) or 0.0) for f in each],
                capsize=3,
                **look | {"linestyle": ""},
            )
            said = [
                f"{name}, {f.name}, {text.number(f.flops_fraction, 1)} % of FLOPs" for f in each
            ]
            pairs = zip(said, each, strict=True)
            titled(drawn.lines[0], [as_tested(what, f.test_accuracy, metric) for what, f in pairs])
        finish(figure, axes, metric.axis("test"))

    return draw("tested", 3.7, paint)


def volumes(histories: Mapping[str, Sequence[float]]) -> str:
    """Hypervolume of every run's front against the trials that had ended."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, history, look in _looks(histories):
            often, x = max(1, len(history) // 8), range(1, len(history) + 1)
            (line,) = axes.plot(x, history, markevery=often, drawstyle="steps-post", **look)
            marked = range(0, len(history), often)
            titled(line, [f"{name}: {history[i]:.5f} after {i + 1} trials" for i in marked])
        finish(figure, axes, "hypervolume of the front", "trials that ended")

    return draw("volumes", 3.2, paint)


def _looks(runs: Mapping[str, T]) -> Iterator[tuple[str, T, dict[str, Any]]]:
    """The name of each run and what is drawn of it, with its look and its name in the legend."""
    looks = zip(cycle(COLOURS), cycle(MARKS), cycle(LINES), strict=False)
    for (name, drawn), (colour, marker, line) in zip(runs.items(), looks, strict=False):
        look = {"color": colour, "marker": marker, "linestyle": line, "markersize": 6}
        yield name, drawn, look | {"label": shorten(name, 22)}
