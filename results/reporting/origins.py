"""Where a trial's policy comes from, in the kinds that the report draws apart."""

from __future__ import annotations

from typing import Literal

from results.data import RunData
from results.record import TrialRecord

Origin = Literal["uniform", "ranking", "sensitivity", "random", "searched"]

NAMES: dict[Origin, str] = {
    "uniform": "uniform widths",
    "ranking": "global rankings",
    "sensitivity": "widths by sensitivity",
    "random": "random policies",
    "searched": "searched",
}
"""As they stand in legends; all but the last are what a search has to beat."""


def origin_of(run: RunData, record: TrialRecord) -> Origin:
    """By its record's origin: a sensitivity the run measured, another of its starts (a ranking),
    uniform or random; anything else was searched."""
    if record.origin in {measured.sensitivity for measured in run.measured}:
        return "sensitivity"
    if record.origin in run.provenance.settings.starts:
        return "ranking"
    fixed: dict[str, Origin] = {"uniform": "uniform", "random": "random"}
    return fixed.get(record.origin, "searched")


def described(run: RunData, record: TrialRecord) -> str:
    """``global ranking (l1)``, ``widths by iso_damage``, or the origin's own name."""
    longer = {
        "sensitivity": f"widths by {record.origin}",
        "ranking": f"global ranking ({record.origin})",
    }
    return longer.get(origin_of(run, record), record.origin)
