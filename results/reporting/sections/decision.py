"""What to decide: the network to ship at each budget, what it loses, takes, and where it is."""

from __future__ import annotations

from collections.abc import Iterator

from results.by_class import warnings
from results.data import RunData
from results.decision import decisions, loading
from results.reporting.blocks import Block, Code, Paragraph, Table, head


def blocks(run: RunData) -> Iterator[Block]:
    """A sentence, a short table and the lines that load it, for each budget; and a sentence where
    some classes lose more than the others."""
    uneven = warnings(run)
    for decision in decisions(run):
        yield Paragraph(decision.sentence, "verdict")
        columns = head("", "unpruned", decision.final.name, "% left")
        yield Table(columns, decision.facts)
        if lines := loading(run, decision):
            yield Code(lines)
        if decision.certainty:
            yield Paragraph(decision.certainty, "soft")
        if warning := uneven.get(str(decision.final.budget)):
            yield Paragraph(warning)
