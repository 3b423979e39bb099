"""Distillation: a pruned network also learns what the unpruned one answers.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.training.hardware import logits_of
from search.training.modes import AUTO


@dataclass(frozen=True, eq=False)
class Teacher:
    """The network whose answers are learnt; it is never trained itself.

    >>> teacher = Teacher(copied(task.model).eval(), weight=0.9, temperature=4.0)
    >>> train(small, task.train, recipe, epochs=3, seed=0, device=task.device, teacher=teacher)

    Attributes:
        model: in eval mode, on the device of the training, which on CUDA may lay its weights out
            anew: give a copy of what is used elsewhere.
        weight: of distillation in the loss, 0 to 1; cross-entropy has the rest.
        temperature: above 0; the logits of both networks are divided by it.
    """

    model: nn.Module
    weight: float
    temperature: float

    @torch.no_grad()  # in inference mode, the student's backward pass could not use the result
    def answers(self, inputs: Tensor, precision: str = AUTO) -> Tensor:
        """The logarithms of its class probabilities at the temperature, (B, classes) float32."""
        return F.log_softmax(logits_of(self.model, inputs, precision) / self.temperature, dim=1)

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        answers: Tensor,
        hard: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> Tensor:
        """(1 - w) x CE + w x T² x KL(teacher || student), the mean over the batch.

        T² keeps the gradients of the second term as large at every temperature (section 2).

        Args:
            logits: the student's, (B, classes).
            answers: what ``answers`` gives for the same inputs.
            hard: CE, which may smooth the labels.
        """
        student = F.log_softmax(logits / self.temperature, dim=1)
        distance = F.kl_div(student, answers, reduction="batchmean", log_target=True)
        soft = self.temperature**2 * distance
        return (1 - self.weight) * hard(logits, targets) + self.weight * soft
