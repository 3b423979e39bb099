"""TODO"""

from __future__ import annotations

from results.report.blocks import Section
from results.report.view import View


def section(view: View) -> Section:  # noqa: ARG001
    return Section("comparison", "")
