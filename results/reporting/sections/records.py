"""Also measured: the kinds of record that have no section of their own, each as its table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from results import text
from results.data import RunData
from results.reporting.blocks import Block, Column, Paragraph, Table
from results.store import kinds
from results.tables import tables_of


def blocks(run: RunData) -> Iterator[Block]:
    """Of every kind with a caption that has records; see `results.store.RecordKind`."""
    for kind in kinds(type(run)).values():
        if kind.caption and getattr(run, kind.field):
            yield Paragraph(kind.caption)
            frame = tables_of(run)[kind.table](run)
            numeric = map(pd.api.types.is_numeric_dtype, frame.dtypes)
            shown = zip(frame, numeric, strict=True)
            head = [Column(str(n), right, label=n == frame.columns[0]) for n, right in shown]
            yield Table(head, [[*map(_cell, row)] for row in frame.itertuples(index=False)])


def _cell(value: Any) -> str:
    if pd.isna(value):
        return text.NONE
    return f"{value:g}" if isinstance(value, float) else str(value)
