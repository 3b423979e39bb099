"""What cutting one group alone does: the record of what one measure of sensitivity found.

>>> run.sensitivity.query("sensitivity == 'iso_damage'").pivot(columns="width", index="group")
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np

from results.codec import Stored, was


@dataclass(frozen=True, slots=True)
class SensitivityRecord(Stored):
    """One group as one sensitivity measured it: cut alone, without training.

    Attributes:
        sensitivity: who measured, ``iso_damage`` say.
        unit: of the damages: ``loss``, by how much cross-entropy rose, or ``accuracy``, by how much
            that fell (a fraction); both may be below 0.
        group: what was cut.
        channels: how many it has.
        widths: how many were kept, ascending, the whole group left out.
        damages: one value a width.
    """

    sensitivity: str = field(metadata=was("importance"))
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
