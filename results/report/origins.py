"""Where a trial's policy comes from, in the kinds that the report draws apart."""

from __future__ import annotations

from typing import Literal

from results.data import RunData
from results.record import TrialRecord

Origin = Literal["uniform", "ranking", "importance", "random", "searched"]

NAMES: dict[Origin, str] = {
    "uniform": "uniform widths",
    "ranking": "global rankings",
    "importance": "widths by importance",
    "random": "random policies",
    "searched": "searched",
}
"""As they stand in legends; all but the last are what a search has to beat."""


def origin_of(run: RunData, record: TrialRecord) -> Origin:
    """Sensitivities are those that the run measured, rankings the other starts that it was given;
    who is nothing else was searched."""
    if record.origin in {measured.sensitivity for measured in run.measured}:
        return "importance"
    if record.origin in run.provenance.settings.starts:
        return "ranking"
    fixed: dict[str, Origin] = {"uniform": "uniform", "random": "random"}
    return fixed.get(record.origin, "searched")


def described(run: RunData, record: TrialRecord) -> str:
    """``global ranking (l1)``, ``widths by iso_damage``, or the origin's own name."""
    said = {
        "importance": f"widths by {record.origin}",
        "ranking": f"global ranking ({record.origin})",
    }
    return said.get(origin_of(run, record), record.origin)
