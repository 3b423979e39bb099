"""The record of a learning rate that was tried in a sweep, and the rates that sweeps chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from results.codec import Stored


@dataclass(frozen=True, slots=True)
class SweepPoint(Stored):
    """One short fine-tuning of uniform widths, to find a rate; the test split is not read.

    Attributes:
        budget, lr, epochs, seed: of the training.
        val_accuracy: 0..1, ``nan`` when the training failed.
        chosen: whether this rate is used at this budget.
        reason: why there is no accuracy, else empty.
        serves: epochs of the trainings that use the rate; 0 for the arm ``finetune`` of a
            comparison, however long it is.
    """

    budget: str
    lr: float
    epochs: int
    seed: int
    val_accuracy: float
    chosen: bool = False
    reason: str = ""
    serves: int = 0

    @property
    def place(self) -> tuple[str, int]:
        """The budget and the epochs of the trainings for which the rate is sought."""
        return self.budget, self.serves


def chosen_rates(points: Iterable[SweepPoint]) -> dict[tuple[str, int], float]:
    """The chosen rates, by budget and the epochs of the trainings that use them."""
    return {point.place: point.lr for point in points if point.chosen}
