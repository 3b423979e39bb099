"""Class by class: what each class lost in the network to ship, and whether the loss is uneven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from results import text
from results.by_class import DIGITS, ClassChange, at_budgets, class_changes, figure, sentence
from results.data import RunData
from results.reporting.blocks import Block, Cells, Column, Paragraph, tabulate

FEW, MOST = 20, 10
"""So many classes are all shown; of more, those that lost most."""


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where the right answers were not counted by class, as in runs of older versions."""
    changes = class_changes(run)
    for own in at_budgets(changes):
        yield Paragraph(sentence(own), "verdict")
        shown = own if len(own) <= FEW else own[:MOST]
        if len(shown) < len(own):
            yield Paragraph(
                f"The {MOST} of {len(own):,} classes that lost most; classes.csv has them all."
            )
        yield tabulate(shown, _cells(own), marked=lambda change: change.shown)
    if changes:
        yield Paragraph(
            "Test accuracy, the mean over the seeds of the final training; what lost most comes "
            "first. In brackets are 95 % intervals of the change, each class alone: they cover the "
            "choice of the test images (Newcombe) and the seeds of training (Student-t). Coloured "
            "or bold is a class that is shown to lose more than all others together, all classes "
            "allowed for (Holm 1979); few images in a class show little.",
            "soft",
        )


def _cells(own: Sequence[ClassChange]) -> Cells[ClassChange]:
    cells: dict[Column, Callable[[ClassChange], str]] = {
        Column("class", label=True): lambda c: c.label,
        Column("images", numeric=True, minor=True): lambda c: f"{c.images:,}",
        Column("unpruned %", numeric=True): lambda c: text.number(c.unpruned, DIGITS),
        Column(f"{own[0].name} %", numeric=True): lambda c: text.number(c.accuracy, DIGITS),
        Column("change, points", numeric=True): lambda c: figure(c.change, c.low, c.high),
    }
    if any(c.uniform == c.uniform for c in own):
        cells = cells | {
            Column("uniform %", numeric=True, minor=True): lambda c: text.number(c.uniform, DIGITS),
            Column("points over uniform", numeric=True, minor=True): lambda c: figure(
                c.gain, c.gain_low, c.gain_high
            ),
        }
    return cells
