"""What a comparison leaves behind: one record for every network that it trained.

An *arm* is one way to come to a trained network of given widths. Every arm is trained for the same
structures, on the same splits, with the same seeds and the same order of the data.

| arm | weights it starts from | trained |
|---|---|---|
| ``finetune`` | inherited | at the learning rate that a short sweep found |
| ``finetune-small`` | inherited | at the classic small rate, 1e-3 |
| ``random-channels`` | inherited, of channels drawn at random inside the widths | as ``finetune`` |
| ``scratch-e`` | fresh | the unpruned network's epochs |
| ``scratch-b`` | fresh | those epochs × FLOPs_full / FLOPs_pruned |
| ``scratch-b+`` | fresh | the same and the fine-tuning epochs |

Scratch-E and Scratch-B: Liu et al., Rethinking the Value of Network Pruning, ICLR 2019.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from results.record import plain
from spaces import Policy

Arm = Literal[
    "finetune", "finetune-small", "random-channels", "scratch-e", "scratch-b", "scratch-b+"
]
Kind = Literal["searched", "predefined", "discovered"]

ARMS: tuple[Arm, ...] = (
    "finetune",
    "finetune-small",
    "random-channels",
    "scratch-e",
    "scratch-b",
    "scratch-b+",
)
INHERITED = frozenset[Arm]({"finetune", "finetune-small", "random-channels"})
"""The arms that start from weights of the unpruned network."""


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """One training of a comparison: one structure in one arm with one seed.

    Attributes:
        budget: the budget the structure competes at.
        structure: ``trial 12``, ``uniform``, ``l1``, ``thinet``, ``slimming``.
        kind: where its widths come from: ``searched`` by this run, ``predefined`` (fixed ratios
            for every layer), or ``discovered`` by another method.
        best: whether this searched structure represents its budget; chosen on validation.
        number: of the trial it was, ``None`` when it was none.
        policy: its widths.
        flops, flops_fraction, params: as in `TrialRecord`.
        arm: see the table above.
        criterion: who chose the channels, ``slimming`` if the weights are those of its own sparse
            training; empty where no weights are inherited.
        lr: the highest learning rate.
        epochs, seed: of the training.
        val_accuracy, test_accuracy: after the last epoch, 0..1; ``nan`` if the training failed.
        training_flops: multiply-adds of this training, a step being three forward passes.
        inherited_flops: multiply-adds of the training that the inherited weights come from; 0 for
            fresh weights.
        seconds: wall time of the training.
        reason: why it failed, else empty.
    """

    budget: str
    structure: str
    kind: Kind
    best: bool
    number: int | None
    policy: Policy
    flops: int
    flops_fraction: float
    params: int
    arm: Arm
    criterion: str
    lr: float
    epochs: int
    seed: int
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    training_flops: int = 0
    inherited_flops: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def weights(self) -> Literal["inherited", "fresh"]:
        """What the training began with."""
        return "inherited" if self.arm in INHERITED else "fresh"

    @property
    def training(self) -> Hashable:
        """Equal for records of one training: it may stand for several structures and arms."""
        return self.policy, self.criterion, self.lr, self.epochs, self.seed

    @property
    def total_flops(self) -> int:
        """Multiply-adds of everything that this network's accuracy took, the search apart."""
        return self.training_flops + self.inherited_flops


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One short fine-tuning of uniform widths, to find a learning rate; the test is not read.

    Attributes:
        budget, lr, epochs, seed: of the training.
        val_accuracy: 0..1, ``nan`` when the training failed.
        chosen: whether ``finetune`` uses this rate at this budget.
        reason: why there is no accuracy, else empty.
    """

    budget: str
    lr: float
    epochs: int
    seed: int
    val_accuracy: float
    chosen: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that one comparison measured so far.

    Attributes:
        options: what it was asked for, by flat names: ``seeds``, ``finetune_epochs``,
            ``base_epochs``, ``interval`` (``t`` or ``bootstrap``), ``structures``, ``arms``, ...
        arms: one record a training, in the order they were planned.
        sweep: the learning rates that were tried.
        complete: whether every planned training is there.
        notes: sentences a reader must know before believing the figures.
        sparse_flops, sparse_seconds: what the sparse training for ``slimming`` took.
        earlier_reads: how often the test split was read for records that were thrown away.
    """

    options: dict[str, Any] = field(default_factory=dict)
    arms: tuple[ArmRecord, ...] = ()
    sweep: tuple[SweepPoint, ...] = ()
    complete: bool = False
    notes: tuple[str, ...] = ()
    sparse_flops: int = 0
    sparse_seconds: float = 0.0
    earlier_reads: int = 0

    def __bool__(self) -> bool:
        return bool(self.arms)

    @property
    def budgets(self) -> list[str]:
        """In the order of the records."""
        return list(dict.fromkeys(record.budget for record in self.arms))

    @property
    def test_reads(self) -> int:
        """How many trained networks were tested, each once, those thrown away among them."""
        read = (r for r in self.arms if not math.isnan(r.test_accuracy))
        return self.earlier_reads + len({r.training for r in read})

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(
            {
                "options": self.options,
                "arms": [_as_dict(record) for record in self.arms],
                "sweep": [_as_dict(point) for point in self.sweep],
                "complete": self.complete,
                "notes": list(self.notes),
                "sparse_flops": self.sparse_flops,
                "sparse_seconds": self.sparse_seconds,
                "earlier_reads": self.earlier_reads,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """The comparison that ``to_json`` wrote."""
        raw = json.loads(text)
        return cls(
            raw["options"],
            tuple(_arm(each) for each in raw["arms"]),
            tuple(
                SweepPoint(**each | {"val_accuracy": float(each["val_accuracy"])})
                for each in raw["sweep"]
            ),
            raw["complete"],
            tuple(raw["notes"]),
            raw.get("sparse_flops", 0),
            raw.get("sparse_seconds", 0.0),
            raw.get("earlier_reads", 0),
        )


def _as_dict(record: ArmRecord | SweepPoint) -> dict[str, Any]:
    return {f.name: plain(getattr(record, f.name)) for f in fields(record)}


def _arm(raw: Mapping[str, Any]) -> ArmRecord:
    floats = ("flops_fraction", "lr", "val_accuracy", "test_accuracy", "seconds")
    values = dict(raw) | {name: float(raw[name]) for name in floats}
    return ArmRecord(**values | {"policy": Policy(raw["policy"])})
