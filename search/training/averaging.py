"""A moving average of a network's weights, which is judged and kept in their place."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of parameters, and of buffers, running statistics say.

    After step n = 1, 2, ... each becomes ``d x average + (1 - d) x weight``, from the weights at
    the beginning on, with ``d = min(decay, (1 + n) / (10 + n))``: a brief training would else end
    near where it began. As TensorFlow's ``ExponentialMovingAverage`` has it with ``num_updates``.

    >>> average = WeightAverage(model, decay=0.999)
    >>> average.update()                          # after every step
    >>> average.put()                             # at the end: the model has the averages
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        every = [*model.parameters(), *model.buffers()]
        self._model, self._decay, self._updates = model, decay, 0
        self._taken = [t.is_floating_point() and bool(t.isfinite().all()) for t in every]
        self._averages = [tensor.detach().clone() for tensor in self._tensors]

    @property
    def _tensors(self) -> list[Tensor]:
        """Looked up each time: another memory format makes buffers other objects."""
        every = [*self._model.parameters(), *self._model.buffers()]
        return list(compress(every, self._taken))

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights as they are now into the average."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        if self._averages:
            torch._foreach_lerp_(self._averages, self._tensors, 1 - decay)

    @torch.no_grad()
    def put(self) -> None:
        """Give the network the averages."""
        for tensor, average in zip(self._tensors, self._averages, strict=True):
            tensor.copy_(average)

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes."""
        return {"averages": self._averages, "updates": self._updates}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state`` of the same network."""
        saved: list[Tensor] = state["averages"]
        for average, value in zip(self._averages, saved, strict=True):
            average.copy_(value)
        self._updates = state["updates"]
