"""Checkpoints of trainings in progress, so that a kill costs a minute of work."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from search import cache
from spaces.state import set_state, state_of

EVERY_SECONDS = 60.0
"""How often a training is saved, at the end of an epoch; a shorter one never is."""

State = dict[str, Any]
"""Tensors on the CPU, numbers and strings, in dicts and lists, as ``weights_only`` reads them."""


class Checkpoints(Protocol):
    """Stores the states of trainings by key; can be pickled.

    >>> checkpoints.save("3f2a", {"epoch": 7})
    >>> checkpoints.load("3f2a")
    {'epoch': 7}
    """

    def load(self, key: str) -> State | None:
        """The state saved last under that key; None if there is none, or a damaged one."""
        ...

    def save(self, key: str, state: State) -> None:
        """Replace what was saved under that key. Never raises: a training goes on without."""
        ...

    def drop(self, key: str) -> None:
        """Forget the key, if it is there."""
        ...


@dataclass(frozen=True)
class Nowhere:
    """Stores nothing: a training that is cut short starts again."""

    def load(self, key: str) -> State | None:  # noqa: ARG002
        """None."""
        return None

    def save(self, key: str, state: State) -> None:
        """Nothing happens."""

    def drop(self, key: str) -> None:
        """Nothing happens."""


NOWHERE = Nowhere()


@dataclass(frozen=True)
class InFolder:
    """Files ``<key>.pt`` in a folder that the first save creates; each is whole or not there.

    >>> checkpoints = InFolder(Path("runs/mine/checkpoints"))
    """

    path: Path

    def load(self, key: str) -> State | None:
        """The state; a damaged file is reported in the log and counts as none."""
        state = cache.load(self._file(key))
        return state if isinstance(state, dict) else None

    def save(self, key: str, state: State) -> None:
        """As ``Checkpoints.save``; what cannot be written is reported in the log."""
        cache.save(self._file(key), state)

    def drop(self, key: str) -> None:
        """As ``Checkpoints.drop``; a file that cannot be removed is left."""
        with suppress(OSError):
            self._file(key).unlink()

    def clear(self) -> None:
        """Remove the folder, with the states of trainings that were never resumed."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Where one training is saved.

    >>> train(model, split, recipe, ..., checkpoint=Checkpoint(InFolder(folder), "3f2a"))

    Attributes:
        key: differs between trainings that give different weights.
    """

    checkpoints: Checkpoints
    key: str


NOT_SAVED = Checkpoint(NOWHERE, "")
"""For a training that starts again if it was cut short."""


class Saver:
    """Saves a training about once a minute, and restores it.

    >>> saver = Saver(checkpoint, model, optimizer, recipe, steps, device)
    >>> step, epoch = saver.restored()           # (0, 0) without a state
    >>> saver.save_if_due(step, epoch)           # after every epoch
    >>> saver.drop()                             # after the last

    A state has parameters and buffers, the optimizer's state, and that of the random generators
    that dropout draws from. On the CPU a resumed training gives exactly the weights of an
    uninterrupted one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        recipe: object,
        steps: int,
        device: torch.device,
    ) -> None:
        self._checkpoints, self._key = checkpoint.checkpoints, checkpoint.key
        self._model, self._optimizer = model, optimizer
        self._recipe, self._steps, self._device = recipe, steps, device
        self._saved, self._saved_at = False, time.monotonic()

    def restored(self) -> tuple[int, int]:
        """Restore the training; the step and the epoch to go on with.

        A state of another network, recipe or number of steps is ignored.
        """
        state = self._checkpoints.load(self._key)
        if state is None or state.get("made_by") != self._fingerprint():
            return 0, 0
        set_state(self._model, state["model"])
        self._optimizer.load_state_dict(copied_to_cpu(state["optimizer"]))
        self._set_random_state(state["random"])
        self._saved = True
        return state["step"], state["epoch"]

    def save_if_due(self, step: int, epoch: int) -> None:
        """Save the training, unless it has ended or was saved within ``EVERY_SECONDS``."""
        if step == self._steps or time.monotonic() - self._saved_at < EVERY_SECONDS:
            return
        state = {
            "made_by": self._fingerprint(),
            "step": step,
            "epoch": epoch,
            "model": copied_to_cpu(state_of(self._model)),
            "optimizer": copied_to_cpu(self._optimizer.state_dict()),
            "random": self._random_state(),
        }
        self._checkpoints.save(self._key, state)
        self._saved, self._saved_at = True, time.monotonic()

    def drop(self) -> None:
        """Forget the state."""
        if self._saved:
            self._checkpoints.drop(self._key)

    def _fingerprint(self) -> str:
        shapes = [(name, tuple(tensor.shape)) for name, tensor in tensors_of(self._model).items()]
        return cache.key(shapes, self._recipe, self._steps, self._device.type)

    def _random_state(self) -> list[Tensor]:
        cuda = [torch.cuda.get_rng_state(self._device)] if self._on_cuda else []
        return [torch.get_rng_state(), *cuda]

    def _set_random_state(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._on_cuda:
            torch.cuda.set_rng_state(states[1], self._device)

    @property
    def _on_cuda(self) -> bool:
        return self._device.type == "cuda"


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, also those that a ``state_dict`` leaves out."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def copied_to_cpu(value: Any) -> Any:
    """A copy on the CPU, which shares no memory with tensors that training changes in place."""
    return tree_map(
        lambda x: x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else x, value
    )
