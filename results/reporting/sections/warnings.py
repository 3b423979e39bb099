"""Before you believe it: why the verdict that follows may mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

from results import text
from results.data import RunData
from results.doubts import doubts
from results.reporting.blocks import Block, Bullets


def blocks(run: RunData) -> Iterator[Block]:
    """What the terminal said before the first trial, and before the decision; of most runs
    nothing."""
    if warnings := [*doubts(run), *run.provenance.warnings]:
        yield Bullets([text.sentence(warning) for warning in warnings])
