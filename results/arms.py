"""The arms of a comparison: ways to come to a trained network of given widths.

Every arm is trained for the same structures, on the same splits, with the same seeds and the same
order of the data.

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

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from results.training import TrainingSpec

RANDOM_OF_RUN = "random of the run"

SMALL_RATE = 1e-3
"""Once the usual learning rate of fine-tuning (Liu et al. 2019)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The epochs and learning rates that an arm may use for one structure.

    Attributes:
        base: epochs of the unpruned network's training.
        equal: epochs of this structure that cost what ``base`` ones of the unpruned network do.
        finetune: epochs of fine-tuning.
        rate: learning rate of fine-tuning that the sweep found.
        scratch_rate: learning rate of training from scratch.
    """

    base: int
    equal: int
    finetune: int
    rate: float
    scratch_rate: float


class Arm(ABC):
    """One way to train a structure; a new one is a class and an entry in `ARMS`.

    Attributes:
        name: as users give it.
        inherits: whether it starts from weights of the unpruned network.
        swept: whether it needs the rate that the sweep finds.
        explained: what it is, in the report's list of arms.
        meaning: as it stands in a sentence: ``fine-tuning inherited weights``.
    """

    name: ClassVar[str]
    inherits: ClassVar[bool]
    swept: ClassVar[bool] = False
    explained: ClassVar[str]
    meaning: ClassVar[str]

    @abstractmethod
    def spec(self, schedule: Schedule) -> TrainingSpec:
        """How a structure is trained."""

    def source(self, structure: str, seed: int) -> str:  # noqa: ARG002
        """The source of the weights that a training with that seed inherits; empty for none."""
        return structure if self.inherits else ""

    def criterion(self, source: str) -> str:
        """The criterion in the records of trainings from that source; empty for fresh weights.

        A run whose own criterion is ``random`` drew its channels once, not for every seed.
        """
        return RANDOM_OF_RUN if source == "random" else source


class FineTune(Arm):
    """Inherited weights at the rate that the sweep found."""

    name = "finetune"
    inherits = True
    swept = True
    explained = "inherited weights, fine-tuned at the learning rate that the sweep found"
    meaning = "fine-tuning inherited weights"

    def spec(self, schedule: Schedule) -> TrainingSpec:
        return TrainingSpec(schedule.rate, schedule.finetune)


class FineTuneSmall(FineTune):
    """Inherited weights at the classic rate."""

    name = "finetune-small"
    swept = False
    explained = "the same at the classic small rate of 0.001"
    meaning = "fine-tuning at the classic small rate"

    def spec(self, schedule: Schedule) -> TrainingSpec:
        return replace(super().spec(schedule), lr=SMALL_RATE)


class RandomChannels(FineTune):
    """Inherited weights of channels drawn at random."""

    name = "random-channels"
    explained = "as finetune, but of channels drawn at random inside the same widths"
    meaning = "fine-tuning channels drawn at random"

    def source(self, structure: str, seed: int) -> str:  # noqa: ARG002
        return random_source(seed)

    def criterion(self, source: str) -> str:  # noqa: ARG002
        return "random"


class ScratchE(Arm):
    """Fresh weights for as many epochs as the unpruned network had."""

    name = "scratch-e"
    inherits = False
    explained = "fresh weights, trained for the unpruned network's epochs"
    meaning = "training fresh weights for the unpruned network's epochs"

    def spec(self, schedule: Schedule) -> TrainingSpec:
        return TrainingSpec(schedule.scratch_rate, schedule.base, scratch=True)


class ScratchB(ScratchE):
    """Fresh weights for as much computation as the unpruned network had."""

    name = "scratch-b"
    explained = "fresh weights, trained for the unpruned network's computation"
    meaning = "training fresh weights for the unpruned network's computation"

    def spec(self, schedule: Schedule) -> TrainingSpec:
        return replace(super().spec(schedule), epochs=schedule.equal)


class ScratchBPlus(ScratchB):
    """Fresh weights for nearly as much computation as inherited ones had in all."""

    name = "scratch-b+"
    explained = "the same and the fine-tuning epochs"
    meaning = (
        "training fresh weights for the unpruned network's computation and the fine-tuning epochs"
    )

    def spec(self, schedule: Schedule) -> TrainingSpec:
        return replace(super().spec(schedule), epochs=schedule.equal + schedule.finetune)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        *(FineTune(), FineTuneSmall(), RandomChannels()),
        *(ScratchE(), ScratchB(), ScratchBPlus()),
    )
}
"""By name, in the order in which they are shown."""


def random_source(seed: int) -> str:
    """Name of the source whose channels are drawn at random for trainings with that seed."""
    return f"random {seed}"
