"""Checkpoints of trainings in progress, so that a kill costs a minute of work."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from search import cache
from search.training.averaging import WeightAverage
from spaces.state import set_state, state_of

EVERY_SECONDS = 60.0
"""How often a training is saved, at the end of an epoch; a shorter one never is."""

State = dict[str, Any]
"""Tensors on the CPU, numbers and strings, in dicts and lists, as ``weights_only`` reads them."""


@dataclass(frozen=True)
class Checkpoints:
    """Stores the states of trainings by key; can be pickled.

    This one stores nothing: a training that is cut short starts again.
    """

    def load(self, key: str) -> State | None:  # noqa: ARG002
        """The state saved last under that key; None if there is none, or a damaged one."""
        return None

    def save(self, key: str, state: State) -> None:
        """Replace what was saved under that key. Never raises: a training goes on without."""

    def drop(self, key: str) -> None:
        """Forget the key, if it is there."""

    def clear(self) -> None:
        """Forget all keys, those of trainings that were never resumed too."""


NOWHERE = Checkpoints()


@dataclass(frozen=True)
class InFolder(Checkpoints):
    """Files ``<key>.pt`` in a folder that the first save creates; each is whole or not there.

    A file that is damaged or cannot be written is reported in the log.
    """

    path: Path

    def load(self, key: str) -> State | None:
        state = cache.load(self._file(key))
        return state if isinstance(state, dict) else None

    def save(self, key: str, state: State) -> None:
        cache.save(self._file(key), state)

    def drop(self, key: str) -> None:
        with suppress(OSError):
            self._file(key).unlink()

    def clear(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Where one training is saved; ``key`` differs between those that give different weights."""

    checkpoints: Checkpoints
    key: str


NOT_SAVED = Checkpoint(NOWHERE, "")
"""For a training that starts again if it was cut short."""


@dataclass
class Saver:
    """Saves a training about once a minute, and restores it.

    >>> saver = Saver(checkpoint, model, optimizer, recipe, steps, device)
    >>> step, epoch = saver.restored()           # (0, 0) without a state
    >>> saver.save_if_due(step, epoch)           # after every epoch
    >>> saver.drop()                             # after the last

    A state has parameters and buffers, their moving average if there is one, the optimizer's state,
    and that of the random generators that dropout draws from. On the CPU a resumed training gives
    exactly the weights of an uninterrupted one.
    """

    checkpoint: Checkpoint
    model: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: object
    steps: int
    device: torch.device
    average: WeightAverage | None = None

    def __post_init__(self) -> None:
        self._saved, self._saved_at = False, time.monotonic()

    def restored(self) -> tuple[int, int]:
        """Restore the training; the step and the epoch to go on with.

        A state of another network, recipe or number of steps is ignored.
        """
        state = self.checkpoint.checkpoints.load(self.checkpoint.key)
        if state is None or state.get("made_by") != self._fingerprint():
            return 0, 0
        set_state(self.model, state["model"])
        self.optimizer.load_state_dict(copied_to_cpu(state["optimizer"]))
        if self.average is not None:
            self.average.restore(state["average"])
        on_cpu, *on_cuda = state["random"]
        torch.set_rng_state(on_cpu)
        for generator in on_cuda:
            torch.cuda.set_rng_state(generator, self.device)
        self._saved = True
        return state["step"], state["epoch"]

    def save_if_due(self, step: int, epoch: int) -> None:
        """Save the training, unless it has ended or was saved within ``EVERY_SECONDS``."""
        if step == self.steps or time.monotonic() - self._saved_at < EVERY_SECONDS:
            return
        on_cuda = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        state = {
            "made_by": self._fingerprint(),
            "step": step,
            "epoch": epoch,
            "model": copied_to_cpu(state_of(self.model)),
            "optimizer": copied_to_cpu(self.optimizer.state_dict()),
            "average": copied_to_cpu(self.average.state() if self.average else {}),
            "random": [torch.get_rng_state(), *on_cuda],
        }
        self.checkpoint.checkpoints.save(self.checkpoint.key, state)
        self._saved, self._saved_at = True, time.monotonic()

    def drop(self) -> None:
        """Forget the state."""
        if self._saved:
            self.checkpoint.checkpoints.drop(self.checkpoint.key)

    def _fingerprint(self) -> str:
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        shapes = [(name, tuple(tensor.shape)) for name, tensor in named]
        return cache.key(shapes, self.recipe, self.steps, self.device.type)


def copied_to_cpu(value: Any) -> Any:
    """A copy on the CPU, which shares no memory with tensors that training changes in place."""
    return tree_map(
        lambda x: x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else x, value
    )
