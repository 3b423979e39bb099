"""Where a trial's policy comes from, in the kinds that the report draws apart."""

from __future__ import annotations

from typing import Literal

from results.record import TrialRecord
from results.report.view import View

Origin = Literal["uniform", "ranking", "importance", "random", "searched"]

NAMES: dict[Origin, str] = {
    "uniform": "uniform widths",
    "ranking": "global rankings",
    "importance": "widths by importance",
    "random": "random policies",
    "searched": "searched",
}
"""As they stand in legends; all but the last are what a search has to beat."""


def origin_of(view: View, record: TrialRecord) -> Origin:
    """Importances are those that the run measured, rankings the other starts that it was given;
    who is nothing else was searched."""
    if record.origin in {measured.importance for measured in view.measured}:
        return "importance"
    policies = (view.provenance.get("config") or {}).get("policies") or {}
    if record.origin in (policies.get("starts") or ()):
        return "ranking"
    fixed: dict[str, Origin] = {"uniform": "uniform", "random": "random"}
    return fixed.get(record.origin, "searched")


def described(view: View, record: TrialRecord) -> str:
    """``global ranking (l1)``, ``widths by iso_damage``, or the origin's own name."""
    said = {
        "importance": f"widths by {record.origin}",
        "ranking": f"global ranking ({record.origin})",
    }
    return said.get(origin_of(view, record), record.origin)
