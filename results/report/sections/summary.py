"""What came out: the verdicts, then one row for every network that competes."""

from __future__ import annotations

from results import text
from results.compare import verdicts
from results.contrasts import contrasts
from results.data import RunData
from results.report.blocks import Block, Column, Paragraph, Section, Table
from results.report.networks import Row, networks

NO_VERDICT = "There is no verdict: no network was trained to the end."
LEGEND = (
    "FLOPs are multiply-adds of convolution, linear and matmul at batch 1. “Search” is after the "
    "brief training of the search and “final” after the longer one that follows it, so compare "
    "down a column, not across. ± is the standard deviation over seeds. The coloured or bold row "
    "stands for its budget in the verdict; it was chosen on the validation split. The interval of "
    "the verdict covers the seeds of the final training, not the choice of the test images. With "
    "several budgets, a difference is claimed only if it holds when all of them are allowed for "
    "(Holm 1979)."
)


def section(run: RunData) -> Section:
    """Verdicts first, that on inherited weights among them once a comparison has been begun; the
    table shows the baseline, uniform widths and the searched front."""
    sentences = [v.sentence for v in verdicts(run.finals, run.budgets)] or [NO_VERDICT]
    sentences += [c.sentence for c in contrasts(run.compared) if c.name == "weights"]
    blocks: list[Block] = [Paragraph(sentence, "verdict") for sentence in sentences]
    found = networks(run)
    if found:
        blocks += [_table(found), Paragraph(LEGEND, "soft")]
    else:
        blocks.append(Paragraph("There is no baseline, and no trial was trained to the end."))
    if line := text.not_counted(run.provenance.uncounted):
        blocks.append(Paragraph(text.sentence(line)))
    return Section("summary", "What came out", blocks)


def _table(rows: list[Row]) -> Table:
    columns = (
        Column("network", label=True),
        Column("FLOPs", numeric=True, minor=True),
        Column("% of FLOPs", numeric=True),
        Column("params", numeric=True),
        Column("search: val. %", numeric=True),
        Column("final: test %", numeric=True),
        Column("seeds", numeric=True, minor=True),
    )
    marked = frozenset(i for i, row in enumerate(rows) if row.best)
    return Table(columns, [_cells(row) for row in rows], marked)


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        text.count(row.flops),
        text.number(row.flops_fraction, 1),
        text.count(row.params),
        text.number(row.val_accuracy),
        text.mean_spread(row.test_accuracy),
        str(len(row.test_accuracy) or text.NONE),
    ]
