"""A run's report as sections; a new one is its file and an entry in `READ` or `AUDIT`.

>>> [section.anchor for section in sections(run)]
['decision', 'summary', 'gains', 'classes', 'front', 'widths', 'search', 'trust', 'provenance']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from results.data import RunData
from results.reporting.blocks import Block, Section
from results.reporting.sections import (
    classes,
    comparison,
    compression,
    criteria,
    decision,
    front,
    gains,
    provenance,
    rates,
    records,
    search,
    sensitivity,
    spending,
    summary,
    trust,
    warnings,
    widths,
    words,
)

Made = Callable[[RunData], Iterable[Block]]

READ: dict[str, tuple[str, Made]] = {
    "warnings": ("Before you believe it", warnings.blocks),
    "decision": ("What to ship", decision.blocks),
    "summary": ("Search against uniform widths", summary.blocks),
    "gains": ("Where the gain comes from", gains.blocks),
    "classes": ("Class by class", classes.blocks),
    "front": ("{metric} against FLOPs", front.blocks),
    "comparison": ("Fine-tune or from scratch?", comparison.blocks),
    "compression": ("Other ways to compress", compression.blocks),
}
"""Anchor to heading and contents of what everybody reads, in that order; a heading may name the
metric."""

AUDIT: dict[str, tuple[str, Made]] = {
    "widths": ("Which channels stay", widths.blocks),
    "criteria": ("Which criterion", criteria.blocks),
    "sensitivity": ("Which layers bear cuts", sensitivity.blocks),
    "search": ("The search", search.blocks),
    "trust": ("Can the proxies be trusted?", trust.blocks),
    "rates": ("Which learning rates", rates.blocks),
    "records": ("Also measured", records.blocks),
    "spending": ("What it cost", spending.blocks),
    "words": ("What the words mean", words.blocks),
    "provenance": ("Where this comes from", provenance.blocks),
}
"""The same of what stands folded after that, for those who want to check."""

SECTIONS = READ | AUDIT


def section(anchor: str, run: RunData) -> Section:
    """One of `SECTIONS`, at any moment of a run; without blocks where it has nothing to say."""
    heading, blocks = SECTIONS[anchor]
    title = heading.format(metric=run.metric.title)
    return Section(anchor, title, list(blocks(run)), anchor in AUDIT)


def sections(run: RunData) -> list[Section]:
    """Every section that has something to say."""
    return [made for anchor in SECTIONS if (made := section(anchor, run))]
