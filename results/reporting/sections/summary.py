"""What came out: the verdicts, then one row for every network that competes."""

from __future__ import annotations

from collections.abc import Iterator

from results import text
from results.compare import verdicts
from results.contrasts import contrasts
from results.data import RunData
from results.metric import MetricInfo
from results.reporting.blocks import Block, Cells, Column, Paragraph, tabulate
from results.reporting.networks import Row, networks

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


def blocks(run: RunData) -> Iterator[Block]:
    """Verdicts first, that on inherited weights among them once a comparison has been begun; the
    table shows the baseline, uniform widths and the searched front."""
    judged = verdicts(run.finals, run.budgets, run.metric)
    sentences = [v.sentence for v in judged] or [NO_VERDICT]
    sentences += [c.sentence for c in contrasts(run.compared, run.metric) if c.name == "weights"]
    yield from (Paragraph(sentence, "verdict") for sentence in sentences)
    if rows := networks(run):
        yield tabulate(rows, _cells(run.metric), marked=lambda row: row.best)
        yield Paragraph(LEGEND.format(items=run.metric.items), "soft")
        if how := run.provenance.settings.distillation:
            yield Paragraph(
                "All networks but the baseline were trained with distillation from it, in the "
                f"search and in the final training ({how}).",
                "soft",
            )
    else:
        yield Paragraph("There is no baseline, and no trial was trained to the end.")
    if line := text.not_counted(run.provenance.uncounted):
        yield Paragraph(text.sentence(line))


def _cells(metric: MetricInfo) -> Cells[Row]:
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
    }
