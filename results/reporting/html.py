"""A report as one HTML file: no network, no script; for a desk, a phone and paper."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import jinja2

from results.reporting.blocks import AUDIT, Block, Document, Section, Table
from results.reporting.explained import Explained

LONG = 40
"""Letters in a cell from which its column is kept wide enough to be read."""


def html(document: Document) -> str:
    """The whole page as text; everything but the pictures is escaped."""
    explained = Explained(document.meanings)
    return _template().render(document=document, audit=AUDIT, explained=explained)


def _runs(section: Section) -> list[tuple[str, list[Block]]]:
    """Blocks of one kind that follow each other, as pictures stand side by side."""
    grouped = groupby(section.blocks, key=lambda block: type(block).__name__)
    return [(kind, list(blocks)) for kind, blocks in grouped]


def _classes(table: Table) -> list[str]:
    """The classes of each column."""
    classes = []
    for i, column in enumerate(table.columns):
        long = any(len(row[i]) > LONG for row in table.rows)
        which = {"n": column.numeric, "minor": column.minor, "label": column.label, "long": long}
        classes.append(" ".join(name for name, holds in which.items() if holds))
    return classes


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("results.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"runs": _runs, "classes": _classes}
    return environment.get_template("template.html")
