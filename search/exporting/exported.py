"""What an export wrote, and what there is to know of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from results import text
from search.exporting.formats import Format
from search.exporting.opened import Chosen
from search.exporting.subject import Subject
from search.exporting.trip import Trip

ROUNDING = 0.005
"""By what share a metric may differ where the run computed on a GPU."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        files: the one that is opened first, then what it needs.
        card: the model card.
    """

    chosen: Chosen
    subject: Subject
    format: Format
    trip: Trip
    files: tuple[Path, ...]
    card: Path

    def moved_to(self, folder: Path) -> Exported:
        """The same with its files in another folder, where they replace those of the same names."""
        for file in (*self.files, self.card):
            os.replace(file, folder / file.name)
        files = tuple(folder / file.name for file in self.files)
        return replace(self, files=files, card=folder / self.card.name)

    @property
    def batches(self) -> str:
        """How many images the file takes at once, in words."""
        subject = self.subject
        if subject.batch is None:
            return "any number of images at once"
        taken = f"{text.plural(subject.batch, 'image')} at once"
        return f"{taken}: torch.export finds that the code fixes it" if subject.is_fixed else taken

    @property
    def title(self) -> str:
        """What was exported, in one line."""
        name = self.chosen.name
        what = f"trial {name}" if name.isdecimal() else name
        return f"{what} of {self.chosen.run.folder}: {self.subject.title}"

    @property
    def checks(self) -> list[str]:
        """What to know of the file, each in a sentence."""
        taken = [text.sentence(f"it takes {self.batches}")] if self.format.traced else []
        return [*taken, self.told, *self._doubts]

    @property
    def _doubts(self) -> Iterator[str]:
        """That the data may not be what the run tested the network on."""
        then, now = self.chosen.final.test_accuracy[0], self.trip.before
        all_items = self.trip.items == self.chosen.run.provenance.test_images
        if all_items and abs(then - now) > ROUNDING * max(abs(then), abs(now)):
            metric = self.trip.metric
            yield (
                f"The run measured {metric.with_unit(then)} for this network: the test "
                f"{metric.items} may be others now."
            )

    @property
    def told(self) -> str:
        """The round trip in one sentence."""
        trip, metric = self.trip, self.trip.metric
        before, after = map(metric.with_unit, (trip.before, trip.after))
        same = "outputs are equal"
        if trip.largest:
            same = f"outputs differ by at most {trip.largest:.2g} (the largest is {trip.scale:.3g})"
        return (
            f"Round trip in {self.format.runtime} over {trip.items:,} test {metric.items}: {same}; "
            f"test {metric.name} {before} before, {after} after."
        )
