"""The record of a network that was trained to the end: what for, how, its cost and accuracy."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, fields

from results.codec import Stored
from results.record import NOT_COUNTED, Candidate, ClassCounts

STEP = 3
"""A training step in forward passes: the backward pass computes two products for one."""

DISTILL_WEIGHT, TEMPERATURE = 0.9, 4.0
"""Of distillation, where nobody asks for others."""

FINALS, REPEATS, BASELINES = "finals", "repeats", "compression baselines"
GAINS, SPARSE, SWEEP, COMPARISON = "gain steps", "sparse training", "sweep", "comparison"
RATES = "learning rates"
PURPOSES = (RATES, REPEATS, FINALS, GAINS, BASELINES, SPARSE, SWEEP, COMPARISON)
"""What trainings are made for, in the order in which the report lists their costs."""


@dataclass(frozen=True, slots=True, repr=False)
class TrainingSpec:
    """How a network is trained to the end; everything else is the run's own.

    Attributes:
        lr: the highest learning rate; ``nan`` where an older run does not say, 0 where the user's
            own loop trained, which has its own.
        epochs: as many, whatever the network's size.
        scratch: from fresh weights instead of inherited ones.
        layer_epochs: after each group, pruned one after another; 0 where all are pruned at once.
        sparsity: L1 penalty on the scales of BatchNorm, as slimming has it.
        way: how the weights are compressed, before the training and throughout; empty for not.
        zeros: share of the layer weights that the way makes zero.
        distill: weight of distillation from the unpruned network in the loss; 0 for none.
        temperature: of distillation; 0 without.
        surgery: how the kept weights are adjusted; empty for the run's own.
    """

    lr: float
    epochs: int
    scratch: bool = False
    layer_epochs: int = 0
    sparsity: float = 0.0
    way: str = ""
    zeros: float = 0.0
    distill: float = 0.0
    temperature: float = 0.0
    surgery: str = ""

    def __repr__(self) -> str:
        """As a dataclass has it, but silent on distillation and on surgery where there is none of
        its own: files are found by it, also those of versions that knew of none."""
        unsaid = [] if self.distill else ["distill", "temperature"]
        unsaid += [] if self.surgery else ["surgery"]
        told = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name not in unsaid)
        return f"TrainingSpec({', '.join(told)})"


@dataclass(frozen=True, slots=True)
class TrainingRecord(Stored):
    """One training to the end. It counts for the purpose that it was made for, and only there.

    Attributes:
        purpose: one of `PURPOSES`, or that of another plan.
        candidate: its ``criterion`` chose the channels, or names another source of weights, or is
            empty.
        spec: how it was trained.
        seed: of the training.
        flops: multiply-adds of the network at batch 1.
        training_flops: multiply-adds of the whole training, pruning layer by layer and the forward
            passes of the network that is distilled from included; 0 where an older run does not
            say, or for a failure, whose progress is unknown.
        seconds: wall time; ``nan`` where an older run does not say. Records of the same results are
            equal, however long they took.
        val_accuracy: after the last epoch, 0..1; ``nan`` if it failed.
        test_accuracy: the same, ``nan`` if the test split was not read.
        nonzero, bytes: size, of a network whose weights were compressed.
        failure: its kind: ``diverged``, ``worker died``, ...; empty if it succeeded.
        reason: why it failed, else empty.
        by_class: of the test split; empty if it was not read, or an older run does not say.
    """

    purpose: str
    candidate: Candidate
    spec: TrainingSpec
    seed: int
    flops: int
    training_flops: int
    seconds: float = field(default=math.nan, compare=False)
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    nonzero: int = 0
    bytes: int = 0
    failure: str = ""
    reason: str = ""
    by_class: ClassCounts = NOT_COUNTED

    @property
    def key(self) -> Hashable:
        """Equal for two records of one training, whatever its purpose."""
        return self.candidate, self.spec, self.seed

    @property
    def tested(self) -> bool:
        """Whether the test split was read for it."""
        return not math.isnan(self.test_accuracy)


def training_flops(flops: int, images: int, epochs: float, teacher: int = 0) -> int:
    """Multiply-adds of a training of a network of ``flops``.

    Args:
        teacher: flops of the network that is distilled from, which passes once over every image of
            every epoch; 0 without distillation.
    """
    return round((STEP * flops + teacher) * images * epochs)
