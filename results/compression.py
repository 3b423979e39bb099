"""Compression baselines: networks compressed in other ways than by removing channels.

| way | what is stored | flops |
|---|---|---|
| ``unpruned`` | every weight as float32 | all |
| ``channels`` | the weights of the channels that stay, as float32 | fewer |
| ``magnitude`` | the largest weights, and where they belong | all |
| ``ternary`` | two bits a weight, one float32 a layer | all |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from results import text
from results.codec import Stored


@dataclass(frozen=True, slots=True)
class Way:
    """What the report says about a way to compress: in a table, and in whole sentences."""

    label: str
    note: str = ""


WAYS = {
    "unpruned": Way(text.NONE),
    "channels": Way("removing channels"),
    # As in `prune_ops.compression`, which runs of older versions do not quote.
    "magnitude": Way(
        "zeros for the smallest weights",
        "Magnitude pruning (Han et al. 2015) leaves the largest weights of the whole network, "
        "as many as the searched network of that budget has parameters, and keeps the others "
        "zero through the fine-tuning. A weight that is not zero takes 4 bytes; a bitmap or "
        "the indices of CSR, whichever is smaller in that layer, say where they are.",
    ),
    "ternary": Way(
        "three values for each layer's weights",
        "Ternary weights (Li and Liu 2016) are \N{MINUS SIGN}\N{GREEK SMALL LETTER ALPHA}, 0 "
        "or \N{GREEK SMALL LETTER ALPHA}, one \N{GREEK SMALL LETTER ALPHA} a layer, the first "
        "and the last layer too. They were fine-tuned by the straight-through estimator. A weight "
        "takes 2 bits, an \N{GREEK SMALL LETTER ALPHA} 4 bytes.",
    ),
}
"""A run's provenance names others."""


@dataclass(frozen=True, slots=True)
class CompressionBaseline(Stored):
    """One training of one network, with its size.

    Attributes:
        name: ``unpruned``, ``trial 12``, ``magnitude at 0.5``, ``ternary``.
        way: see the table above.
        budget: the one that the searched network competes at, also for the ``magnitude`` that has
            as many weights; None where it belongs to none.
        sparsity: share of the layer weights that ``magnitude`` made zero, else 0; ``zeros`` in
            `TrainingSpec`, whose ``sparsity`` is something else.
        flops, flops_fraction: multiply-adds at batch 1; zeros count like other weights.
        nonzero: parameters, the zeros among layer weights apart.
        bytes: that storing the network takes.
        epochs, seed: of the training.
        val_accuracy, test_accuracy: after the last epoch, 0..1.
        seconds: wall time of the training. Records of the same results are equal, however long
            they took.
    """

    name: str
    way: str
    budget: str | None
    sparsity: float
    flops: int
    flops_fraction: float
    nonzero: int
    bytes: int
    epochs: int
    seed: int
    val_accuracy: float
    test_accuracy: float
    seconds: float = field(default=0.0, compare=False)

    @property
    def trained(self) -> bool:
        """Whether it was trained as a baseline; the others stand among the finals."""
        return self.way not in ("unpruned", "channels")


def trainings(records: Iterable[CompressionBaseline]) -> list[CompressionBaseline]:
    """One record for each network that was trained, and tested once, as a baseline."""
    return list({(r.way, r.sparsity, r.seed): r for r in records if r.trained}.values())
