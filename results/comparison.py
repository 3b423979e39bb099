"""The records of a comparison: one for every network that it trained."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

from results.arms import ARMS
from results.codec import Stored
from results.sweep import SweepPoint
from spaces import Policy

Kind = Literal["searched", "predefined", "discovered"]


@dataclass(frozen=True, slots=True)
class ArmRecord(Stored):
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
        arm: one of `ARMS`.
        criterion: it chose the channels; ``slimming`` if the weights are those of its own sparse
            training; empty where no weights are inherited.
        lr: the highest learning rate.
        epochs, seed: of the training.
        val_accuracy, test_accuracy: after the last epoch, 0..1; ``nan`` if the training failed.
        training_flops: multiply-adds of this training, a step being three forward passes, and one
            of the unpruned network with distillation.
        inherited_flops: multiply-adds of the training that the inherited weights come from, and of
            that of the unpruned network where it is distilled from; 0 for neither.
        seconds: wall time of the training.
        reason: why it failed, else empty.
        distill, temperature: of distillation, as in `TrainingSpec`; 0 without.
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
    arm: str
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
    distill: float = 0.0
    temperature: float = 0.0

    @property
    def weights(self) -> Literal["inherited", "fresh"]:
        """What the training began with."""
        arm = ARMS.get(self.arm)
        inherits = self.inherited_flops > 0 if arm is None else arm.inherits
        return "inherited" if inherits else "fresh"

    @property
    def training(self) -> Hashable:
        """Equal for records of one training: it may stand for several structures and arms."""
        how = self.lr, self.epochs, self.distill, self.temperature
        return self.policy, self.criterion, how, self.seed

    @property
    def total_flops(self) -> int:
        """Multiply-adds of all training behind this network; the search is not counted."""
        return self.training_flops + self.inherited_flops


@dataclass(frozen=True, slots=True)
class Comparison(Stored):
    """Everything that one comparison measured so far.

    Attributes:
        options: as they were given, by flat names: ``seeds``, ``finetune_epochs``,
            ``base_epochs``, ``structures``, ``arms``, ...
        arms: one record a training, in the order they were planned.
        sweep: the learning rates that were tried.
        complete: whether every planned training is there.
        notes: sentences a reader must know before believing the figures.
        sparse_flops, sparse_seconds: what the sparse training for ``slimming`` took, in runs of
            older versions; others have a `TrainingRecord` of it.
        earlier_reads: how often the test split was read for records that were thrown away.
        not_compared: what ``--full`` would add, and about how long it takes; empty for nothing.
    """

    options: dict[str, Any] = field(default_factory=dict)
    arms: tuple[ArmRecord, ...] = ()
    sweep: tuple[SweepPoint, ...] = ()
    complete: bool = False
    notes: tuple[str, ...] = ()
    sparse_flops: int = 0
    sparse_seconds: float = 0.0
    earlier_reads: int = 0
    not_compared: str = ""

    def __bool__(self) -> bool:
        return bool(self.arms)

    @property
    def budgets(self) -> list[str]:
        """In the order of the records."""
        return list(dict.fromkeys(record.budget for record in self.arms))

    @property
    def cautions(self) -> tuple[str, ...]:
        """The notes, and where this version departs from the options."""
        if self.options.get("interval") != "bootstrap":
            return self.notes
        return *self.notes, (
            "a bootstrap was asked for, but the intervals are Student-t: over few seeds those of a "
            "bootstrap are too narrow to bear a claim"
        )
