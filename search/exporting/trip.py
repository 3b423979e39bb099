"""The round trip: real images through the network and through its file, and what differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prune_ops.artifact.passes import TOLERANCES
from results.text import number
from search.data.splits import Split
from search.exporting.formats import Run
from spaces.inputs import tensors

BATCH = 64
"""Images at once where the file takes any number."""
FLIPS = 1e-3
"""The share of the images, beyond the first, whose class may differ: near ties are rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """What came of it.

    Attributes:
        images: how many went both ways.
        largest: the largest absolute difference of any output.
        scale: the largest absolute output of the network itself.
        allowed: the most that ``largest`` may be, as a share of ``scale``.
        before, after: accuracy of the network and of the file on these images, 0..1.
    """

    images: int
    largest: float
    scale: float
    allowed: float
    before: float
    after: float

    @property
    def broken(self) -> str:
        """What differs more than rounding explains, in words; empty where nothing does."""
        if not self.largest <= self.allowed * self.scale:
            return (
                f"outputs differ by up to {self.largest:.3g} of {self.scale:.3g}, and "
                f"{self.allowed * self.scale:.2g} is the most"
            )
        flipped = round(abs(self.after - self.before) * self.images)
        if flipped > 1 + FLIPS * self.images:
            after, before = (number(share) for share in (self.after, self.before))
            return f"it is right on {after} % of the images, not on {before} %"
        return ""


@torch.no_grad()
def round_trip(model: nn.Module, run: Run, split: Split, most: int, batch: int | None) -> Trip:
    """Send the first ``most`` images of a split through both.

    Args:
        model: in eval mode, on the CPU.
        batch: the only number of images that ``run`` takes at once; None for any.
    """
    seen, right, also_right, largest, scale, allowed = 0, 0, 0, 0.0, 0.0, 0.0
    for images, targets in _batches(split, most, batch or BATCH):
        wanted = tensors(model(images))
        got = tensors(_in_batches(run, images, batch))
        if [x.shape for x in got] != [x.shape for x in wanted]:
            largest = math.inf
            continue
        for mine, its in zip(wanted, got, strict=True):
            largest = max(largest, _difference(mine, its))
            scale = max(scale, mine[mine.isfinite()].abs().max().item())
            allowed = max(allowed, TOLERANCES.get(mine.dtype, 0.0))
        seen += len(targets)
        right += int((wanted[0].argmax(1) == targets).sum())
        also_right += int((got[0].argmax(1) == targets).sum())
    count = max(seen, 1)
    return Trip(
        images=seen,
        largest=largest,
        scale=scale,
        allowed=allowed,
        before=right / count,
        after=also_right / count,
    )


def _batches(split: Split, most: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    left = most
    for images, targets in split.batches(size):
        yield images[:left].cpu(), targets[:left].cpu()
        left -= len(targets)
        if left <= 0:
            return


def _in_batches(run: Run, images: Tensor, size: int | None) -> list[Tensor]:
    """The outputs for all images, in batches that the file takes.

    Where it takes any number, that is tried: the first image goes through alone. Where the size is
    fixed, the last image fills up a short batch.
    """
    count = len(images)
    if size is None:
        parts = [part for part in (images[:1], images[1:]) if len(part)]
    else:
        filling = images[-1:].expand(size - count, *images.shape[1:])
        parts = [torch.cat([images, filling])]
    outputs = [tensors(run(part.contiguous())) for part in parts]
    return [torch.cat(several)[:count] for several in zip(*outputs, strict=True)]


def _difference(one: Tensor, other: Tensor) -> float:
    """The largest absolute difference; infinite where one is finite and the other is not."""
    finite = one.isfinite()
    if not torch.equal(finite, other.isfinite()):
        return math.inf
    apart = (one.double() - other.double())[finite].abs()
    return apart.max().item() if apart.numel() else 0.0
