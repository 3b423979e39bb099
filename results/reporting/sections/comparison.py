"""Fine-tune or from scratch? The verdict, the arms with their cost, and every paired difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from results import text
from results.arms import ARMS
from results.board import ArmMean, Board, means
from results.comparison import Comparison
from results.contrasts import (
    FRESH,
    INHERITED,
    Contrast,
    contrasts,
    fresh_computation,
    two_by_two,
    verdict,
)
from results.data import RunData
from results.differences import text_of_p
from results.metric import MetricInfo
from results.reporting.blocks import (
    Block,
    Bullets,
    Cells,
    Column,
    Figure,
    Paragraph,
    Table,
    head,
    tabulate,
)
from results.reporting.plots.comparison import Line, arms
from results.spending import times_tested
from results.sweep import SweepPoint


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing until a comparison has begun."""
    compared, metric = run.compared, run.metric
    if not compared and not compared.sweep:
        return
    for sentence in verdict(compared, metric):
        yield Paragraph(sentence, "verdict")
    if not compared.complete:
        done = text.plural(len(compared.arms), "training")
        yield Paragraph(f"This comparison is not finished: so far it has {done}.")
    seeds = len({record.seed for record in compared.arms})
    if compared and seeds < 2:
        yield Paragraph(
            "It has one seed, so no interval can be given and no difference can be shown; "
            "with --seeds 3 it could."
        )
    differences = contrasts(compared, metric)
    for place, budget in enumerate(compared.budgets):
        board = Board(compared, budget)
        if board.places:
            at_budget = [c for c in differences if c.budget == budget]
            yield from _budget(run, board, f"comparison-{place}", at_budget)
    if compared.sweep:
        yield Paragraph(
            f"The learning rate of {_swept(compared)} comes from a short sweep over "
            "uniform widths, judged on the validation split with a seed of its own:"
        )
        yield tabulate(compared.sweep, _rates(metric), marked=lambda p: p.chosen)
    yield from _method(compared, times_tested(run)[1], metric)


def _swept(compared: Comparison) -> str:
    """The arms trained at a rate that the sweep found; before one was, all that are to be."""
    swept, trained = [a for a in ARMS if ARMS[a].swept], {r.arm for r in compared.arms}
    return " and ".join([arm for arm in swept if arm in trained] or swept)


def _budget(
    run: RunData, board: Board, name: str, differences: Sequence[Contrast]
) -> Iterator[Block]:
    budget, metric = board.budget, run.metric
    unit = f" in {metric.unit}" if metric.unit else ""
    yield Paragraph(
        f"Budget {budget}: test {metric.name}{unit}, mean ± 95 % Student-t interval over seeds "
        "(how many). Fresh weights are those of scratch-b+, inherited ones those of finetune."
    )
    yield _two_by_two(board, metric)
    yield _figure(board, name, metric)
    yield Paragraph(
        f"What each arm took at budget {budget}, in multiply-adds of one seed; inherited weights "
        "include the unpruned network's own training, and the last column is in multiples of it."
    )
    there = [mean for mean in means(run.compared) if mean.first.budget == budget]
    yield tabulate(there, _costs(metric))
    yield Paragraph(
        f"Paired differences at budget {budget}, {_in_unit(metric)}. Adjusted p allows for "
        "all comparisons of its table and of those tables at other budgets; the effect is the mean "
        "difference in standard deviations between seeds (Cohen's d_z with Hedges' correction)."
    )
    cells = _differences(metric)
    yield tabulate([c for c in differences if c.family == "planned"], cells)
    if further := [c for c in differences if c.family == "further"]:
        yield tabulate(further, cells, folded=f"Further differences at budget {budget}")


def _in_unit(metric: MetricInfo) -> str:
    """``in points of test accuracy``, ``of test mean absolute error``."""
    return f"{'in ' if metric.step_unit else ''}{metric.step_of('test')}"


def _costs(metric: MetricInfo) -> Cells[ArmMean]:
    return {
        Column("widths", label=True): lambda m: m.first.structure,
        Column("arm"): lambda m: m.first.arm,
        Column(metric.head("test"), numeric=True): lambda m: metric.mean_interval(m.accuracy),
        Column("seeds", numeric=True, minor=True): lambda m: str(len(m.accuracy)),
        Column("failed", numeric=True, minor=True): lambda m: str(m.failed),
        Column("epochs", numeric=True, minor=True): lambda m: str(m.first.epochs),
        Column("learning rate", numeric=True, minor=True): lambda m: text.rate(m.first.lr),
        Column("training FLOPs", numeric=True, minor=True): lambda m: text.count(
            m.first.training_flops
        ),
        Column("inherited FLOPs", numeric=True, minor=True): lambda m: (
            text.count(m.first.inherited_flops) if m.first.weights == "inherited" else text.NONE
        ),
        Column("FLOPs in all", numeric=True, minor=True): lambda m: text.count(m.first.total_flops),
        Column("× unpruned", numeric=True): lambda m: text.multiple(m.total_relative),
    }


def _differences(metric: MetricInfo) -> Cells[Contrast]:
    return {
        Column("of", label=True): lambda c: c.name.replace(" - ", f" {text.MINUS} "),
        Column("left minus right", minor=True): lambda c: f"{c.left}, minus {c.right}",
        Column(metric.step_head(), numeric=True): lambda c: c.paired.figure,
        Column("seeds", numeric=True, minor=True): lambda c: str(c.paired.n),
        Column("p", numeric=True, minor=True): lambda c: text_of_p(c.paired.p_value),
        Column("adjusted p", numeric=True): lambda c: text_of_p(c.adjusted),
        Column("effect", numeric=True, minor=True): lambda c: text.correlation(
            metric.sign * c.paired.effect_size
        ),
        Column("shown"): lambda c: "yes" if c.shown else "no",
    }


def _rates(metric: MetricInfo) -> Cells[SweepPoint]:
    return {
        Column("budget"): lambda p: p.budget,
        Column("learning rate", numeric=True, label=True): lambda p: f"{p.lr:g}",
        Column("epochs", numeric=True): lambda p: str(p.epochs),
        Column("seed", numeric=True, minor=True): lambda p: str(p.seed),
        Column(metric.head("validation"), numeric=True): lambda p: (
            p.reason or "failed" if math.isnan(p.val_accuracy) else metric.number(p.val_accuracy)
        ),
        Column("chosen"): lambda p: "yes" if p.chosen else "",
    }


def _two_by_two(board: Board, metric: MetricInfo) -> Table:
    cells = [
        f"{metric.mean_interval([*scores.values()])} ({len(scores)})" if scores else text.NONE
        for scores in two_by_two(board)
    ]
    name = f"searched ({board.best})" if board.best else "searched"
    titles = head("widths", "inherited weights", "fresh weights")
    return Table(titles, [[name, *cells[:2]], ["uniform", *cells[2:]]])


def _figure(board: Board, name: str, metric: MetricInfo) -> Figure:
    lines = [(s, arm, [*board.accuracy(s, arm).values()]) for s, arm, _ in board.places]
    cells: Cells[Line] = {
        Column("widths", label=True): lambda line: line[0],
        Column("arm"): lambda line: line[1],
        Column(f"{metric.head('test')}, mean and interval", numeric=True): lambda line: (
            metric.mean_interval(line[2])
        ),
        Column("seed by seed", numeric=True): lambda line: ", ".join(map(metric.number, line[2])),
    }
    return Figure(
        name,
        arms(name, lines, metric),
        f"Budget {board.budget}: every structure in every arm on the test split: the mean with its "
        "95 % Student-t interval, and under it a ring for each seed. Filled marks are of inherited "
        "weights, hollow ones of fresh weights. Arms share seeds, so the paired differences below "
        "say more than whether these intervals overlap.",
        tabulate(lines, cells),
    )


def _method(compared: Comparison, reads: int, metric: MetricInfo) -> Iterator[Block]:
    boards = [Board(compared, budget) for budget in compared.budgets]
    there = {arm: records[0] for board in boards for _, arm, records in board.places}
    # The weights that slimming inherits are of a training of their own.
    usual = [(board, s) for board in boards for s in board.structures if s != "slimming"]
    explained = {name: arm.explained for name, arm in ARMS.items()}
    if compared.sweep:
        explained[INHERITED] += " at the rate that the sweep found"
    explained[FRESH] += _computation(fresh_computation(usual))
    for arm, first in there.items():
        if first.distill:
            how = text.distillation(first.distill, first.temperature)
            counted = "whose forward passes over the same batches are counted"
            explained[arm] += f", {counted} ({how})"
    if lines := [f"{arm}: {what}." for arm, what in explained.items() if arm in there]:
        yield Paragraph("The arms:", "soft")
        yield Bullets(lines)
    yield Paragraph(
        "All arms have the same splits, the same seeds and the same order of the data for each "
        "seed, so differences are paired by seed. "
        f"{metric.title} is that after the last epoch, never the "
        f"best one. {_reads(reads)} The intervals of differences are 95 % Student-t; "
        f"they cover the seeds of training, not the choice of the test {metric.items}. Neither the "
        "training of the one unpruned network (for slimming: of the one sparse one) nor the search "
        "is repeated, so a difference between inherited and fresh weights holds for these "
        "inherited weights. A difference counts as shown only if its interval, as printed, leaves "
        "out zero and its p-value stays below 0.05 when all comparisons of its table and of those "
        "tables at other budgets are allowed for (Holm 1979). Seeds that are added after a look at "
        "the result make a claim weaker than its p-value says. Differences between the same "
        "trainings are left out, and trainings that stand in two places are compared once.",
        "soft",
    )
    for note in compared.cautions:
        yield Paragraph(text.sentence(note), "soft")
    if compared.not_compared:
        yield Paragraph(f"{compared.not_compared}.", "soft")


def _computation(ratio: float) -> str:
    """Of scratch-b+, in multiples of that of finetune; goes on from its explanation."""
    if math.isnan(ratio):
        return ""
    if ratio == 1:
        return ": as much computation in all as finetune"
    return f": {text.factor(ratio)} × the computation of finetune in all"


def _reads(n: int) -> str:
    match n:
        case 0:
            return "The test split has not been read here yet."
        case 1:
            return "The test split was read once here, for the one network that was trained."
        case _:
            return f"The test split was read {n} times here, once for each trained network."
