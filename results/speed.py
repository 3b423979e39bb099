"""The record of how long a network takes on one machine, measured when the search ended."""

from __future__ import annotations

from dataclasses import dataclass

from results.codec import Stored


@dataclass(frozen=True, slots=True)
class NetworkSpeed(Stored):
    """One network with batches of one size, in eval mode, without gradients.

    The networks of a run are measured in turns, so that whatever else the machine does slows all
    of them.

    Attributes:
        name: of the final, as in `FinalRecord`.
        batch: how many images at once.
        seconds: of one forward pass, the median.
        low, high: the quartiles.
        passes: how many were measured.
        size: bytes of its weights and buffers.
        device, threads: what it ran on.
    """

    name: str
    batch: int
    seconds: float
    low: float
    high: float
    passes: int
    size: int
    device: str = ""
    threads: int = 0

    @property
    def milliseconds(self) -> str:
        """The median with the middle half of the passes: ``12.1 (11.9 to 12.6)``."""
        median, low, high = (f"{1e3 * s:.3g}" for s in (self.seconds, self.low, self.high))
        return f"{median} ({low} to {high})"

    def saves(self, unpruned: NetworkSpeed) -> bool:
        """Whether it takes less time than that network with batches of this size."""
        return self.seconds < unpruned.seconds


def items(batch: int, name: str) -> str:
    """``one image``, ``64 images``."""
    return f"one {name[:-1]}" if batch == 1 else f"{batch} {name}"
