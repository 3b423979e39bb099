"""What was set beside a search: networks compressed in other ways than by their channels.

| way | what is stored | flops |
|---|---|---|
| ``unpruned`` | every weight as float32 | all |
| ``channels`` | the weights of the channels that stay, as float32 | fewer |
| ``magnitude`` | the largest weights, and where they belong | all |
| ``ternary`` | two bits a weight, one float32 a layer | all |

>>> record = BesideRecord.from_json(text)
>>> record.name, record.nonzero, record.bytes
('magnitude at 0.5', 34918, 149240)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import pandas as pd

from results.record import plain

Way = Literal["unpruned", "channels", "magnitude", "ternary"]
TRAINED = frozenset[Way]({"magnitude", "ternary"})
"""Those that are trained to be set beside; the others stand among the finals."""

BESIDE_COLUMNS = {
    "name": "string",
    "way": "string",
    "budget": "string",
    "sparsity": "float64",
    "flops": "int64",
    "flops_fraction": "float64",
    "nonzero": "int64",
    "bytes": "int64",
    "epochs": "int64",
    "seed": "int64",
    "val_accuracy": "float64",
    "test_accuracy": "float64",
    "seconds": "float64",
}
"""Column to pandas type."""


@dataclass(frozen=True, slots=True)
class BesideRecord:
    """One training of one network, with its size.

    Attributes:
        name: ``unpruned``, ``trial 12``, ``magnitude at 0.5``, ``ternary``.
        way: see the table above.
        budget: the one that the searched network competes at, also for the ``magnitude`` that has
            as many weights; None where it belongs to none.
        sparsity: share of the layer weights that ``magnitude`` made zero, else 0.
        flops, flops_fraction: multiply-adds at batch 1; zeros count like other weights.
        nonzero: parameters, the zeros among layer weights apart.
        bytes: that storing the network takes.
        epochs, seed: of the training.
        val_accuracy, test_accuracy: after the last epoch, 0..1.
        seconds: wall time of the training. Records of the same results are equal, however long
            they took.
    """

    name: str
    way: Way
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

    def to_json(self) -> str:
        """One JSON object; values that are not finite become strings, as JSON has none."""
        return json.dumps({f.name: plain(getattr(self, f.name)) for f in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> BesideRecord:
        """The record that ``to_json`` wrote."""
        raw = json.loads(text)
        floats = ("sparsity", "flops_fraction", "val_accuracy", "test_accuracy", "seconds")
        return cls(**raw | {name: float(raw[name]) for name in floats})


def trainings(records: Iterable[BesideRecord]) -> list[BesideRecord]:
    """One record for each network that was trained, and tested once, to be set beside."""
    trained = {(r.way, r.sparsity, r.seed): r for r in records if r.way in TRAINED}
    return list(trained.values())


def beside_table(records: Sequence[BesideRecord]) -> pd.DataFrame:
    """One row for each training: `BESIDE_COLUMNS`."""
    return pd.DataFrame(
        {
            name: pd.Series([getattr(r, name) for r in records], dtype=kind)
            for name, kind in BESIDE_COLUMNS.items()
        }
    )
