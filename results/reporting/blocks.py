"""What a report is made of: sections of paragraphs, tables and figures, whatever it is written as.

>>> Section("front", "Accuracy against FLOPs", [Paragraph("Up and left is better."), figure])

``results.reporting.sections`` makes them from a run; ``html`` and ``markdown`` write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

T = TypeVar("T")

AUDIT = "Method and audit"
"""The heading over what stands folded."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Plain text. ``soft`` is for what only some readers need, ``verdict`` for what all do."""

    text: str
    look: Literal["plain", "soft", "verdict"] = "plain"


@dataclass(frozen=True, slots=True)
class Bullets:
    """Short sentences, one a line."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    ``numeric`` aligns it to the right; ``minor`` ones are left out on a phone; ``label`` ones name
    the row.
    """

    title: str
    numeric: bool = False
    minor: bool = False
    label: bool = False


def head(label: str, *numeric: str) -> list[Column]:
    """One that names the row, and numeric ones."""
    return [Column(label, label=True), *(Column(title, numeric=True) for title in numeric)]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are text as it is shown, see ``results.text``.

    Attributes:
        marked: indices of the rows that are set off.
        folded: the line that unfolds the table; empty where it is always shown.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()
    folded: str = ""


Cells = Mapping[Column, Callable[[T], str]]
"""Every column of a table, and what it shows of a row."""


def tabulate(
    rows: Iterable[T],
    cells: Cells[T],
    marked: Callable[[T], bool] = lambda _: False,
    folded: str = "",
) -> Table:
    """A table with a row for each item; those that ``marked`` accepts are set off."""
    items = list(rows)
    shown = [[cell(item) for cell in cells.values()] for item in items]
    set_off = frozenset(i for i, item in enumerate(items) if marked(item))
    return Table(list(cells), shown, set_off, folded)


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture and the same figures as a table, which stands folded under it.

    Attributes:
        name: tells the pictures of one report apart; letters, digits and dashes.
        svg: one ``<svg>`` element, see ``results.reporting.svg.draw``.
        caption: says what is to be seen; read aloud instead of the picture.
        table: everything that is drawn; ``None`` only where the section shows it anyway.
    """

    name: str
    svg: str
    caption: str
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be copied as they are."""

    lines: Sequence[str]


Block = Paragraph | Bullets | Table | Figure | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report with a heading, reachable by its anchor.

    Attributes:
        audit: whether it is for those who want to check: it stands folded, after all others.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    audit: bool = False

    def __bool__(self) -> bool:
        return bool(self.blocks)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report; ``lead`` is the line under its title.

    Attributes:
        meanings: of words in it, which a page explains where they stand.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    meanings: Mapping[str, str] = field(default_factory=dict)

    @property
    def read(self) -> list[Section]:
        """The sections that everybody reads."""
        return [section for section in self.sections if not section.audit]

    @property
    def audit(self) -> list[Section]:
        """Those that stand folded after them, under `AUDIT`."""
        return [section for section in self.sections if section.audit]
