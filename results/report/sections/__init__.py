"""A run's report as sections, in the order in which they are read.

>>> [section.anchor for section in sections(run.view)]
['summary', 'front', 'widths', 'search', 'trust', 'spending', 'provenance']
"""

from __future__ import annotations

from results.report.blocks import Section
from results.report.view import View


def sections(view: View) -> list[Section]:
    """Every section that has something to say, at any moment of a run."""
    # Imported late: matplotlib takes a second that workers and `--help` need not spend.
    from results.report.sections import (
        beside,
        comparison,
        criteria,
        front,
        provenance,
        search,
        sensitivity,
        spending,
        summary,
        trust,
        widths,
    )

    ordered = (
        *(summary, front, comparison, beside, widths, criteria, sensitivity),
        *(search, trust, spending, provenance),
    )
    return [made for made in (each.section(view) for each in ordered) if made]
