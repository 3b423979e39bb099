"""A run's report as sections, in the order in which they are read.

>>> [section.anchor for section in sections(run)]
['summary', 'front', 'widths', 'search', 'trust', 'spending', 'provenance']
"""

from __future__ import annotations

from results.data import RunData
from results.report.blocks import Section


def sections(run: RunData) -> list[Section]:
    """Every section that has something to say, at any moment of a run."""
    # Imported late: matplotlib takes a second that workers and `--help` need not spend.
    from results.report.sections.order import SECTIONS

    return [made for made in (section(run) for section in SECTIONS) if made]
