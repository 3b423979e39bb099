"""The record of one group's sensitivity: what cutting it alone does to the network.

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
        sensitivity: its name, ``iso_damage`` say.
        unit: of the damages: ``loss``, by how much cross-entropy rose, or ``accuracy``, by how much
            that fell (a fraction), both of which may be below 0; or ``divergence`` of the outputs.
        group: that was cut.
        channels: how many it has.
        widths: how many were kept, ascending, without the uncut width.
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
        """The mean damage over the widths; the lower, the more the group bears."""
        return statistics.fmean(self.damages)

    def at(self, width: int) -> float:
        """The damage at a width, interpolated linearly; the uncut group has none."""
        widths, damages = (*self.widths, self.channels), (*self.damages, 0.0)
        return float(np.interp(width, widths, damages))
