"""The arms of a comparison: ways to come to a trained network of given widths.

Every arm is trained for the same structures, on the same splits, with the same seeds and the same
order of the data.

Scratch-E and Scratch-B: Liu et al., Rethinking the Value of Network Pruning, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from results.training import DISTILL_WEIGHT, TEMPERATURE, TrainingSpec

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
        distill, temperature: of arms that distil.
    """

    base: int
    equal: int
    finetune: int
    rate: float
    scratch_rate: float
    distill: float = DISTILL_WEIGHT
    temperature: float = TEMPERATURE


_ANY = Schedule(base=1, equal=1, finetune=1, rate=1.0, scratch_rate=1.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train a structure; a new one is an entry in `ARMS`.

    Attributes:
        name: as users give it.
        explained: what it is, in the report's list of arms.
        meaning: as it stands in a sentence: ``fine-tuning inherited weights``.
        spec: how a structure is trained.
        swept: whether it needs the rate that the sweep finds.
        drawn: whether it draws its channels at random, anew for every seed.
        against: the arm that the verdict sets it against, in the best searched structure; empty
            where the verdict is not about it.
        on_request: whether it is trained only where ``--arms`` names it. The verdict of all other
            comparisons then need not allow for one more claim.
    """

    name: str
    explained: str
    meaning: str
    spec: Callable[[Schedule], TrainingSpec]
    swept: bool = False
    drawn: bool = False
    against: str = ""
    on_request: bool = False

    @property
    def distils(self) -> bool:
        """Whether it learns from the unpruned network too."""
        return self.spec(_ANY).distill > 0

    @property
    def has_own_rate(self) -> bool:
        """Whether it has one learning rate, whatever was swept."""
        return self.spec(_ANY).lr != _ANY.rate

    @property
    def inherits(self) -> bool:
        """Whether it starts from weights of the unpruned network."""
        return not self.spec(_ANY).scratch

    def source(self, criterion: str, seed: int) -> str:
        """The source of the weights that a training with that seed inherits; empty for none.

        Args:
            criterion: of the structure's candidate.
        """
        if self.drawn:
            return random_source(seed)
        return criterion if self.inherits else ""

    def criterion(self, source: str) -> str:
        """The criterion in the records of trainings from that source; empty for fresh weights.

        A run whose own criterion is ``random`` drew its channels once, not for every seed.
        """
        if self.drawn:
            return "random"
        return RANDOM_OF_RUN if source == "random" else source


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            "finetune",
            "inherited weights, fine-tuned",
            "fine-tuning inherited weights",
            lambda schedule: TrainingSpec(schedule.rate, schedule.finetune),
            swept=True,
        ),
        Arm(
            "finetune-small",
            "the same at the classic small rate of 0.001",
            "fine-tuning at the classic small rate",
            lambda schedule: TrainingSpec(SMALL_RATE, schedule.finetune),
        ),
        Arm(
            "random-channels",
            "as finetune, but of channels drawn at random in the same widths",
            "fine-tuning channels drawn at random",
            lambda schedule: TrainingSpec(schedule.rate, schedule.finetune),
            swept=True,
            drawn=True,
        ),
        Arm(
            "scratch-e",
            "fresh weights, trained for the unpruned network's epochs",
            "training fresh weights for the unpruned network's epochs",
            lambda schedule: _fresh(schedule, schedule.base),
        ),
        Arm(
            "scratch-b",
            "fresh weights, trained for the unpruned network's computation",
            "training fresh weights for the unpruned network's computation",
            lambda schedule: _fresh(schedule, schedule.equal),
        ),
        Arm(
            "scratch-b+",
            "the same and the fine-tuning epochs",
            "training fresh weights for the unpruned network's computation and the fine-tuning "
            "epochs",
            lambda schedule: _fresh(schedule, schedule.equal + schedule.finetune),
        ),
        Arm(
            "distilled",
            "as finetune, with distillation from the unpruned network",
            "fine-tuning inherited weights with distillation",
            lambda schedule: TrainingSpec(
                schedule.rate,
                schedule.finetune,
                distill=schedule.distill,
                temperature=schedule.temperature,
            ),
            swept=True,
            against="finetune",
            on_request=True,
        ),
    )
}
"""By name, in the order in which they are shown."""


def _fresh(schedule: Schedule, epochs: int) -> TrainingSpec:
    return TrainingSpec(schedule.scratch_rate, epochs, scratch=True)


def random_source(seed: int) -> str:
    """Name of the source whose channels are drawn at random for trainings with that seed."""
    return f"random {seed}"
