"""How a run trains: the specs of its rungs and finals, and the recipe of each spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from results.training import STEP, TrainingSpec
from search.config import SearchConfig
from search.training.layerwise import layer_flops, stages
from search.training.loop import FINETUNE, FROM_SCRATCH, SMALL_SET, Recipe
from search.training.modes import MODES
from spaces import Policy, Space

FINAL_SEEDS, FINAL_SEEDS_OF_SMALL = 3, 8
"""Final trainings of each policy: a few images more or less decide where there are few to learn
from, and such trainings are quick."""


@dataclass(frozen=True)
class Specs:
    """Specs of trainings under one config, on a number of training images.

    Attributes:
        rates: of fine-tuning, by budget and epochs, as a sweep found them.
        own_loop: whether the user's own loop trains, which has its own rates: all here are 0.
    """

    config: SearchConfig
    space: Space
    images: int
    rates: Mapping[tuple[str, int], float] = field(default_factory=dict)
    own_loop: bool = False

    def recipe(self, spec: TrainingSpec) -> Recipe:
        """The recipe for the training loop; the batch size is the run's in every training."""
        usual, training = self._usual(spec.scratch), self.config.training
        return replace(
            usual,
            lr=spec.lr,
            batch_size=training.batch_size or usual.batch_size,
            sparsity=spec.sparsity,
            precision=self.config.task.precision,
            label_smoothing=training.label_smoothing,
            clip_norm=training.clip_norm or 0.0,
            ema=training.ema,
        )

    @property
    def final_seeds(self) -> list[int]:
        """Of the final trainings; the same for every network, so that they can be paired."""
        usual = FINAL_SEEDS_OF_SMALL if self.images < SMALL_SET else FINAL_SEEDS
        first = self.config.policies.seed
        return [first + k for k in range(self.config.training.final_seeds or usual)]

    def usual_rate(self, scratch: bool) -> float:
        """The default learning rate of fine-tuning, or of training from scratch."""
        return 0.0 if self.own_loop else self._usual(scratch).lr

    def in_mode(self, policy: Policy, epochs: int) -> TrainingSpec:
        """The run's mode for ``epochs``, or for as much computation as the unpruned network's."""
        mode = MODES[self.config.training.train]
        taken = self.epochs_of_equal_cost(policy, epochs) if mode.equal_compute else epochs
        rate = self.usual_rate(scratch=True) if mode.scratch else self._rate(policy, epochs)
        rate = self.config.training.lr or rate
        return self._distilled(TrainingSpec(rate, taken, scratch=mode.scratch))

    def final(self, policy: Policy) -> TrainingSpec:
        """The run's mode and schedule for ``final_epochs``; rungs are always one-shot."""
        training = self.config.training
        spec = self.in_mode(policy, training.final_epochs)
        layerwise = training.schedule == "layerwise"
        return replace(spec, layer_epochs=training.layer_epochs if layerwise else 0)

    def finetuning(self) -> TrainingSpec:
        """Fine-tuning of the unpruned network for ``final_epochs``, whatever the run's own mode is;
        distilled if it is."""
        training = self.config.training
        finetunes = not MODES[training.train].scratch
        rate = (training.lr if finetunes else None) or self._rate(
            self.space.full, training.final_epochs
        )
        return self._distilled(TrainingSpec(rate, training.final_epochs))

    def undistilled(self, spec: TrainingSpec) -> TrainingSpec:
        """The spec without distillation."""
        return replace(spec, distill=0.0, temperature=0.0)

    def with_surgery(self, spec: TrainingSpec, surgery: str) -> TrainingSpec:
        """The spec with this surgery; what is the run's own anyway stays unsaid."""
        own = surgery == self.config.training.surgery
        return replace(spec, surgery="" if own else surgery)

    def epochs_of_equal_cost(self, policy: Policy, epochs: int) -> int:
        """Epochs of the pruned network that cost what ``epochs`` of the unpruned one do.

        Distillation changes nothing here: what it costs comes on top.
        """
        return max(1, round(epochs * self.space.full_flops / self.space.flops(policy)))

    def _rate(self, policy: Policy, epochs: int) -> float:
        """What the sweep found for the tightest budget that a network meets, or for the loosest."""
        limits = {name: self.space.limit(name) for name in self.config.policies.budget}
        size = self.space.cost(self.config.limited, policy)
        met = [name for name, limit in limits.items() if size <= limit]
        budget = min(met, key=limits.__getitem__) if met else max(limits, key=limits.__getitem__)
        return self.rates.get((budget, epochs)) or self.usual_rate(scratch=False)

    def _distilled(self, spec: TrainingSpec) -> TrainingSpec:
        """The spec with distillation if the run's trainings have it."""
        training = self.config.training
        if not training.distill:
            return spec
        weight, temperature = training.distill_weight, training.distill_temperature
        return replace(spec, distill=weight, temperature=temperature)

    def _usual(self, scratch: bool) -> Recipe:
        usual = FROM_SCRATCH if scratch else FINETUNE
        return usual.by(self.config.training.optimizer).suited_to(self.images)


def flops_of_training(space: Space, policy: Policy, spec: TrainingSpec) -> int:
    """Multiply-adds of a whole training for each of its images, with all stages of layer by layer.

    With distillation the unpruned network passes once over every image of every epoch.
    """
    passes = spec.epochs * space.flops(policy) + layer_flops(space, policy, spec.layer_epochs)
    if not spec.distill:
        return STEP * passes
    epochs = spec.epochs + spec.layer_epochs * len(list(stages(space, policy)))
    return STEP * passes + epochs * space.full_flops
