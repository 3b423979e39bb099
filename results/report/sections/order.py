"""The sections of a report, in the order in which they are read; a new one is a line here."""

from collections.abc import Callable

from results.data import RunData
from results.report.blocks import Section
from results.report.sections import (
    comparison,
    compression,
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

SECTIONS: list[Callable[[RunData], Section]] = [
    *(summary.section, front.section, comparison.section, compression.section),
    *(widths.section, criteria.section, sensitivity.section),
    *(search.section, trust.section, spending.section, provenance.section),
]
