"""What came out: the verdicts, then one row for every network that competes."""

from __future__ import annotations

from collections.abc import Iterator

from results import text
from results.compare import verdicts
from results.contrasts import contrasts
from results.data import RunData
from results.reporting.blocks import Block, Cells, Column, Paragraph, tabulate
from results.reporting.networks import Row, networks, over_time, without_gain
from results.speed import items
from spaces import Budget
from spaces.budget import COSTS

NO_VERDICT = "There is no verdict: no network was trained to the end."
LEGEND = (
    "FLOPs are multiply-adds of convolution, linear and matmul at batch 1. “Search” is after the "
    "brief training of the search and “final” after the longer one that follows it, so compare "
    "down a column, not across. ± is a 95 % Student-t interval over seeds. The coloured or bold "
    "row is the best at its budget on the validation split, and the verdict is of it. Intervals "
    "cover the seeds of the final training, not the choice of the test {items}. With several "
    "budgets, a difference is claimed only if it holds when all of them are allowed for "
    "(Holm 1979)."
)
TIMES = (
    "Times are of forward passes on {device}, {threads}: the median, and in brackets what the "
    "middle half of the passes took; the networks took turns."
)


def blocks(run: RunData) -> Iterator[Block]:
    """Verdicts first, that on inherited weights among them once a comparison has been begun; the
    table shows the baseline, uniform widths and the searched front."""
    judged = verdicts(run.finals, run.budgets, run.metric)
    sentences = [v.sentence for v in judged] or [NO_VERDICT]
    sentences += [c.sentence for c in contrasts(run.compared, run.metric) if c.name == "weights"]
    yield from (Paragraph(sentence, "verdict") for sentence in sentences)
    if rows := networks(run):
        yield tabulate(rows, _cells(run), marked=lambda row: row.best)
        yield Paragraph(LEGEND.format(items=run.metric.items), "soft")
        if run.timed:
            yield Paragraph(TIMES.format(**_device(run)), "soft")
        yield from map(Paragraph, without_gain(rows, run.metric))
        yield from map(Paragraph, over_time(rows, run))
        if how := run.provenance.settings.distillation:
            yield Paragraph(
                "All networks but the baseline were trained with distillation from it, in the "
                f"search and in the final training ({how}).",
                "soft",
            )
    else:
        yield Paragraph("There is no baseline, and no trial was trained to the end.")
    yield from map(Paragraph, _limits(run))
    if line := text.not_counted(run.provenance.uncounted):
        yield Paragraph(text.sentence(line))


def _limits(run: RunData) -> Iterator[str]:
    """What every network keeps besides its budget, and how times are known that are limited."""
    kinds = {limit: COSTS[Budget.parse(limit).cost] for limit in run.provenance.limits}
    kept = [
        f"{limit} (at most {text.amount(most, kinds[limit])})"
        for limit, most in run.provenance.limits.items()
    ]
    if kept:
        yield f"Every searched and uniform network keeps {text.listed(kept)} too."
    if run.space.latency:
        yield text.sentence(f"times are limited as predicted; {run.space.latency.sentence}")


def _device(run: RunData) -> dict[str, str]:
    """Where the networks were timed."""
    speed = run.timed[0]
    return {"device": speed.device, "threads": text.plural(speed.threads, "thread")}


def _times(run: RunData) -> Cells[Row]:
    """The columns of sizes and times, as far as they were measured."""
    if not run.timed:
        return {}
    columns: Cells[Row] = {
        Column("MB", numeric=True): lambda row: (
            f"{row.speeds[0].size / 1e6:.3g}" if row.speeds else text.NONE
        )
    }
    for batch in sorted({speed.batch for speed in run.timed}):
        title = f"ms, {items(batch, run.metric.items)}"

        def shown(row: Row, batch: int = batch) -> str:
            speed = row.speed(batch)
            return speed.milliseconds if speed else text.NONE

        columns = {**columns, Column(title, numeric=True): shown}
    return columns


def _cells(run: RunData) -> Cells[Row]:
    metric = run.metric
    return {
        Column("network", label=True): lambda row: row.name,
        Column("FLOPs", numeric=True, minor=True): lambda row: text.count(row.flops),
        Column("% of FLOPs", numeric=True): lambda row: text.number(row.flops_fraction, 1),
        Column("params", numeric=True): lambda row: text.count(row.params),
        Column(f"search: {metric.head('val.')}", numeric=True): lambda row: metric.number(
            row.val_accuracy
        ),
        Column(f"final: {metric.head('test')}", numeric=True): lambda row: metric.mean_interval(
            row.test_accuracy
        ),
        Column("seeds", numeric=True, minor=True): lambda row: str(
            len(row.test_accuracy) or text.NONE
        ),
        **_times(run),  # last: on a narrow page the accuracies are seen first
    }
