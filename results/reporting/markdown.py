"""A report as Markdown for a repository: pipe tables, and every picture as an SVG file beside it.

>>> text, pictures = markdown(document, "report_figures")
>>> sorted(pictures)
['report_figures/front.svg', 'report_figures/history.svg']
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import quote

from results.reporting.blocks import AUDIT, Block, Bullets, Code, Document, Figure, Paragraph, Table

# An underscore inside a word, as in second_order, opens nothing.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")
_WHITE = '<rect width="100%" height="100%" fill="white"/>'


def markdown(document: Document, folder: str) -> tuple[str, dict[str, str]]:
    """The text, and the pictures it shows: path, ``folder`` included, to SVG.

    In GitHub's dialect. What would be markup is escaped, so a reader sees every letter.
    """
    parts = [f"# {escape(document.title)}", escape(document.lead)]
    pictures: dict[str, str] = {}
    for section in (*document.read, *document.audit):
        if section in document.audit[:1]:
            parts.append(f"## {escape(AUDIT)}")
        parts.append(f"##{'#' * section.audit} {escape(section.title)}")
        for block in section.blocks:
            if isinstance(block, Figure):
                # A transparent picture could not be read on a dark page.
                svg = block.svg.replace(">", f">{_WHITE}", 1)
                pictures[f"{folder}/{block.name}.svg"] = f"{svg}\n"
            parts += _block(block, folder)
    return "\n\n".join(part for part in parts if part) + "\n", pictures


def escape(words: str) -> str:
    """One line that Markdown shows as it is."""
    line = _SPECIAL.sub(r"\\\g<0>", " ".join(words.split()))
    # At the start of a line these would be a heading, a list or a rule.
    return re.sub(r"^(\d+(?=[.)](?: |$))|(?=[#+=-]))", r"\1\\", line)


def _block(block: Block, folder: str) -> Iterator[str]:
    match block:
        case Paragraph(words, "verdict"):
            yield f"**{escape(words)}**"
        case Paragraph(words):
            yield escape(words)
        case Bullets(lines):
            yield "\n".join(f"- {escape(line)}" for line in lines)
        case Code(lines):
            yield "\n".join(["```python", *lines, "```"])
        case Table():
            yield _folded(block, block.folded) if block.folded else pipes(block)
        case Figure():
            yield f"![{escape(block.caption)}]({quote(folder)}/{block.name}.svg)"
            yield f"<sub>{escape(block.caption)}</sub>"
            if block.table is not None:
                yield _folded(block.table, block.table.folded or "The figures as a table")


def _folded(table: Table, summary: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary>\n\n{pipes(table)}\n\n</details>"


def pipes(table: Table) -> str:
    """A pipe table; marked rows are bold, and no cell can break out of its row."""
    head = [escape(column.title) for column in table.columns]
    body = [
        [_bold(cell) if i in table.marked else escape(cell) for cell in row]
        for i, row in enumerate(table.rows)
    ]
    rule = ["---:" if column.numeric else "---" for column in table.columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])


def _bold(cell: str) -> str:
    return f"**{escape(cell)}**" if cell.strip() else ""
