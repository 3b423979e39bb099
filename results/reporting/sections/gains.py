"""Where the gain comes from: the steps from plain uniform widths to the searched network."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from results import text
from results.data import RunData
from results.differences import text_of_p
from results.gains import Gain, by_budget, sentence, together, unpruned
from results.metric import MetricInfo
from results.reporting.blocks import Block, Cells, Column, Figure, Paragraph, Table, tabulate
from results.reporting.plots.gains import waterfall


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: the unpruned network, a step, or all steps of a budget together."""

    budget: str
    step: str
    changed: str = ""
    accuracy: Sequence[float] = ()
    gain: str = text.NONE
    p: str = text.NONE
    fraction: float | None = None
    shown: bool = False


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where no step was trained, as in runs of older versions."""
    budgets = by_budget(run.gain_steps, run.metric)
    if not budgets:
        return
    reference = unpruned(run.finals)
    yield from (Paragraph(sentence(own), "verdict") for own in budgets.values())
    yield Figure(
        "gains",
        waterfall(budgets, reference, run.metric),
        f"Test {run.metric.name}, step by step: a bar reaches from the mean of the step before to "
        "its own, filled where it gained and hatched where it lost; the interval around its end "
        "is that of the difference, and the rings under it are the seeds. The dashed line is "
        "the unpruned network.",
        _by_seed(budgets, run.metric),
    )
    yield _table(budgets, reference, run.metric)
    yield Paragraph(
        "Each step is trained like the finals, with the same epochs and seeds, and its gain is the "
        "mean difference to the step before, paired by seed, with its 95 % Student-t interval, "
        f"which is of the training seeds and not of the choice of test {run.metric.items}. "
        "Adjusted p allows for all steps of the table (Holm 1979); coloured or bold is what "
        "differs from zero then. The searched network was chosen on the validation split.",
        "soft",
    )


def _table(
    budgets: Mapping[str, Sequence[Gain]], reference: float | None, metric: MetricInfo
) -> Table:
    lines = [line for own in budgets.values() for line in _lines(own)]
    if reference is not None:
        lines.insert(0, Line("", "unpruned network", "", (reference,), fraction=1.0))
    several = {Column("budget"): lambda line: line.budget} if len(budgets) > 1 else {}
    cells: Cells[Line] = several | {
        Column("step", label=True): lambda line: line.step,
        Column("what changed", minor=True): lambda line: line.changed,
        Column(metric.head("test"), numeric=True): lambda line: metric.number(
            statistics.fmean(line.accuracy) if line.accuracy else None
        ),
        Column(_gain(metric), numeric=True): lambda line: line.gain,
        Column("adjusted p", numeric=True, minor=True): lambda line: line.p,
        Column("% of FLOPs", numeric=True): lambda line: text.number(line.fraction, 1),
        Column("seeds", numeric=True, minor=True): lambda line: str(
            len(line.accuracy) or text.NONE
        ),
    }
    return tabulate(lines, cells, marked=lambda line: line.shown)


def _lines(own: Sequence[Gain]) -> Iterator[Line]:
    for gain in own:
        step = gain.of
        yield Line(
            step.budget,
            step.step,
            gain.changed,
            step.test_accuracy,
            gain.figure,
            text_of_p(gain.adjusted),
            step.flops_fraction,
            gain.shown,
        )
    if len(own) > 2:
        yield Line(own[0].of.budget, "all steps together", gain=together(own).figure)


def _by_seed(budgets: Mapping[str, Sequence[Gain]], metric: MetricInfo) -> Table:
    """The result of every seed, and its difference to the step before."""
    rows = [
        (gain, seed, accuracy, gain.before.by_seed.get(seed) if gain.before else None)
        for own in budgets.values()
        for gain in own
        for seed, accuracy in gain.of.by_seed.items()
    ]
    cells: Cells[tuple[Gain, int, float, float | None]] = {
        Column("budget", minor=True): lambda row: row[0].of.budget,
        Column("step", label=True): lambda row: row[0].of.step,
        Column("seed", numeric=True): lambda row: str(row[1]),
        Column(metric.head("test"), numeric=True): lambda row: metric.number(row[2]),
        Column(_gain(metric), numeric=True): lambda row: (
            text.NONE if row[3] is None else metric.step(row[2] - row[3])
        ),
    }
    return tabulate(rows, cells)


def _gain(metric: MetricInfo) -> str:
    """Over a column of gains; where lower is better, a gain has a minus."""
    return metric.step_head("gain" if metric.higher_is_better else "change")
