"""What cutting one group alone does: records of what importances measured, and their table.

>>> run.sensitivity.query("importance == 'iso_damage'").pivot(columns="width", index="group")
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from results.record import plain

SENSITIVITY_COLUMNS = {
    "importance": "string",
    "unit": "string",
    "group": "string",
    "channels": "int64",
    "width": "int64",
    "damage": "float64",
}
"""Column to pandas type."""


@dataclass(frozen=True, slots=True)
class SensitivityRecord:
    """One group as one importance measured it: cut alone, without training.

    Attributes:
        importance: who measured, ``iso_damage`` say.
        unit: of the damages: ``loss``, by how much cross-entropy rose, or ``accuracy``, by how much
            that fell (a fraction); both may be below 0.
        group: what was cut.
        channels: how many it has.
        widths: how many were kept, ascending, the whole group left out.
        damages: one value a width.
    """

    importance: str
    unit: str
    group: str
    channels: int
    widths: tuple[int, ...]
    damages: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the widths: one figure for what the group bears, the lower the more."""
        return statistics.fmean(self.damages)

    def at(self, width: int) -> float:
        """The damage at a width: on a straight line between those measured, none at the whole."""
        known = (*self.widths, self.channels), (*self.damages, 0.0)
        return float(np.interp(width, *known))

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(plain(asdict(self)))

    @classmethod
    def from_json(cls, text: str) -> SensitivityRecord:
        """The record that ``to_json`` wrote."""
        raw = json.loads(text)
        damages = tuple(float(damage) for damage in raw["damages"])
        return cls(**raw | {"widths": tuple(raw["widths"]), "damages": damages})


def sensitivity_table(records: Sequence[SensitivityRecord]) -> pd.DataFrame:
    """One row for each importance, group and width: `SENSITIVITY_COLUMNS`."""
    rows = [
        (r.importance, r.unit, r.group, r.channels, width, damage)
        for r in records
        for width, damage in zip(r.widths, r.damages, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=list(SENSITIVITY_COLUMNS))
    return frame.astype(SENSITIVITY_COLUMNS)
