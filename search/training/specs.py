"""How a run trains: the specs of its rungs and finals, and the recipe that each spec means."""

from __future__ import annotations

from dataclasses import dataclass, replace

from results.training import TrainingSpec
from search.config import SearchConfig
from search.training.loop import FINETUNE, FROM_SCRATCH, MODES, Recipe
from spaces import Policy, Space


@dataclass(frozen=True)
class Specs:
    """Specs of trainings under one config, on so many training images.

    >>> specs = Specs(config, space, images=len(task.train))
    >>> specs.final(policy)
    TrainingSpec(lr=0.005, epochs=12, scratch=False, ...)
    """

    config: SearchConfig
    space: Space
    images: int

    def recipe(self, spec: TrainingSpec) -> Recipe:
        """All that the training loop is told; the batch size is the run's in every training."""
        usual = self._usual(spec.scratch)
        asked = self.config.training.batch_size
        return replace(
            usual, lr=spec.lr, batch_size=asked or usual.batch_size, sparsity=spec.sparsity
        )

    def usual_rate(self, scratch: bool) -> float:
        """The learning rate of fine-tuning, or of training from scratch, where nobody chose one."""
        return self._usual(scratch).lr

    def in_mode(self, policy: Policy, epochs: int) -> TrainingSpec:
        """The run's own mode for ``epochs``, or for what these cost the unpruned network."""
        mode = MODES[self.config.training.train]
        taken = self.epochs_of_equal_cost(policy, epochs) if mode.equal_compute else epochs
        rate = self.config.training.lr or self.usual_rate(mode.scratch)
        return TrainingSpec(rate, taken, scratch=mode.scratch)

    def final(self, policy: Policy) -> TrainingSpec:
        """The run's own mode and schedule for ``final_epochs``; rungs are brief and one-shot."""
        training = self.config.training
        layer_epochs = training.layer_epochs if training.schedule == "layerwise" else 0
        spec = self.in_mode(policy, training.final_epochs)
        return replace(spec, layer_epochs=layer_epochs)

    def finetuning(self) -> TrainingSpec:
        """As the finals of a run that fine-tunes, whatever the run's own mode is."""
        training = self.config.training
        finetunes = not MODES[training.train].scratch
        rate = (training.lr if finetunes else None) or self.usual_rate(scratch=False)
        return TrainingSpec(rate, training.final_epochs)

    def epochs_of_equal_cost(self, policy: Policy, epochs: int) -> int:
        """So many epochs of the pruned network cost what ``epochs`` of the unpruned one do."""
        return max(1, round(epochs * self.space.full_flops / self.space.flops(policy)))

    def _usual(self, scratch: bool) -> Recipe:
        return (FROM_SCRATCH if scratch else FINETUNE).suited_to(self.images)
