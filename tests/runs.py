"""Makers of runs: from a provenance as a study keeps it, with a record of every training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from results import FinalRecord, Provenance, Run, TrialRecord, earlier


def make_run(
    records: Sequence[TrialRecord] = (),
    finals: Sequence[FinalRecord] = (),
    provenance: Mapping[str, Any] | None = None,
    folder: Path = Path("runs/none"),
    **others: Any,
) -> Run:
    """As a run of an older version is read; ``others`` are further fields of the run."""
    several = {name: tuple(v) if isinstance(v, list) else v for name, v in others.items()}
    about = Provenance.from_dict(provenance or {})
    run = Run(folder, tuple(records), tuple(finals), about, **several)
    if "training_records" in others:
        return run
    return replace(run, training_records=earlier.training_records(run))
