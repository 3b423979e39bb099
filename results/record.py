"""The records of a trial and of a final network.

Fields called ``accuracy``, ``val_accuracy`` and ``test_accuracy``, here and in all other records,
are scores of the run's metric, of which a higher one is better; see `results.metric`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from results.codec import Stored, was
from spaces import Policy

State = Literal["complete", "stopped", "failed", "running"]
Role = Literal["baseline", "uniform", "searched"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Widths, and the criterion that says which channels stay; empty for the run's own."""

    policy: Policy
    criterion: str = ""


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """How a network classified a split, class by class; empty where an older run does not say.

    Attributes:
        right: images of each class that it classified correctly.
        images: how many there are of each class; both have a value for each output of the network.
    """

    right: tuple[int, ...] = ()
    images: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.images)

    @property
    def accuracy(self) -> float:
        """The share of all images that were classified correctly, 0..1."""
        return sum(self.right) / sum(self.images)


NOT_COUNTED = ClassCounts()
"""Of a split that was not read, or by an older version."""


@dataclass(frozen=True, slots=True)
class TrialRecord(Stored):
    """One policy evaluated rung by rung, with everything that was measured.

    Attributes:
        number: the trial's number in its study.
        policy: the widths that were tried.
        origin: the start (``uniform``, ``second_order``, ...) or the sampler that proposed it;
            ``random`` while that sampler knew too little to propose anything.
        criterion: it chose the channels that stay; empty in records of older runs.
        flops: multiply-adds at batch 1.
        flops_fraction: ``flops`` over those of the unpruned network.
        params: parameters that are left.
        spent, spent_fraction: where the budgets are of another cost than FLOPs, what the policy
            takes of that, in its unit in `spaces.budget.COSTS`.
        proxies: proxy name to score, higher is better.
        accuracy: one score a rung above 0, on the validation split; of accuracy a fraction 0..1.
        mode: how it was trained: ``finetune``, ``scratch-e`` or ``scratch-b``.
        epochs: one value for each value of ``accuracy``.
        seed: of this trial's training.
        seconds: wall time of all rungs.
        rung_seconds: its parts: one value for every rung that was begun, rung 0 first; 0 for a rung
            that was known from another trial.
        explored: the rungs whose rule was against it, but where it was promoted at random.
        state: ``complete``, ``stopped`` at a rung, ``failed`` or ``running``.
        reason: why it was stopped or failed; ``as trial 12`` when it was spared a measurement that
            trial 12 had; else empty.
    """

    number: int
    policy: Policy
    origin: str
    flops: int
    flops_fraction: float
    params: int
    proxies: dict[str, float] = field(default_factory=dict)
    accuracy: tuple[float, ...] = ()
    mode: str = "finetune"
    criterion: str = ""
    epochs: tuple[int, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    rung_seconds: tuple[float, ...] = ()
    explored: tuple[int, ...] = field(default=(), metadata=was("regardless"))
    state: State = "running"
    reason: str = ""
    spent: int | None = None
    spent_fraction: float | None = None

    @property
    def size(self) -> int:
        """How large the network is, in what the budgets limit: FLOPs unless they say otherwise."""
        return self.flops if self.spent is None else self.spent

    @property
    def size_fraction(self) -> float:
        """``size`` over that of the unpruned network."""
        return self.flops_fraction if self.spent_fraction is None else self.spent_fraction

    @property
    def candidate(self) -> Candidate:
        """What tells its network, before any training, from those of other trials."""
        return Candidate(self.policy, self.criterion)

    @property
    def rung(self) -> int:
        """The highest rung it was judged at; 0 means by proxies only."""
        return len(self.accuracy)

    @property
    def val_accuracy(self) -> float:
        """Score at the highest rung it reached, ``nan`` when it was never trained."""
        return self.accuracy[-1] if self.accuracy else math.nan


@dataclass(frozen=True, slots=True)
class FinalRecord(Stored):
    """One network trained for long, over several seeds, and read once on the test split.

    Attributes:
        name: ``baseline``, ``uniform@0.5``, ``trial 12``, ...
        role: ``baseline``, ``uniform`` or ``searched``.
        budget: the budget it competes at, ``None`` for the baseline.
        number: the trial it came from, ``None`` when it was no trial.
        policy: its widths, ``None`` for the baseline.
        criterion: it chose the channels; empty for the baseline and in records of older runs.
        flops, flops_fraction, params: as in `TrialRecord`.
        seeds: of the trainings; ``val_accuracy`` and ``test_accuracy`` hold one value for each.
        seconds: wall time of each training; empty in records of older runs. Two records of the
            same results are equal, however long they took.
        epochs, mode: of the training.
        layer_epochs: of training before that, after one group or another was pruned, in all.
        layer_flops: what these took, in multiply-adds of forward passes of one image.
        best: whether this searched policy represents its budget in the verdict. It must have been
            chosen on the validation split.
        by_class: of the test split, one for each seed; empty in records of older runs.
    """

    name: str
    role: Role
    budget: str | None
    number: int | None
    policy: Policy | None
    flops: int
    flops_fraction: float
    params: int
    seeds: tuple[int, ...] = ()
    val_accuracy: tuple[float, ...] = ()
    test_accuracy: tuple[float, ...] = ()
    seconds: tuple[float, ...] = field(default=(), compare=False)
    epochs: int = 0
    layer_epochs: int = 0
    layer_flops: int = 0
    mode: str = "finetune"
    best: bool = False
    criterion: str = ""
    by_class: tuple[ClassCounts, ...] = ()

    @property
    def candidate(self) -> Candidate | None:
        """As of a `TrialRecord`; ``None`` for the baseline."""
        return None if self.policy is None else Candidate(self.policy, self.criterion)
