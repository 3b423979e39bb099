"""Checkpoints: what is kept of a training in progress, so that a kill costs a minute of it."""

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
"""A training that takes longer is saved so often, at the end of an epoch; a shorter one never."""

State = dict[str, Any]
"""Tensors on the CPU, numbers and strings, in dicts and lists: what ``weights_only`` reads."""


class Checkpoints(Protocol):
    """Where the states of trainings are kept, each under its key; can be pickled.

    >>> checkpoints.save("3f2a", {"epoch": 7})
    >>> checkpoints.load("3f2a")
    {'epoch': 7}
    """

    def load(self, key: str) -> State | None:
        """What was saved last under that key; None when there is nothing, or nothing readable."""
        ...

    def save(self, key: str, state: State) -> None:
        """Keep this and no longer what was kept before. A training goes on if that fails."""
        ...

    def drop(self, key: str) -> None:
        """Forget the key, known or not."""
        ...


@dataclass(frozen=True)
class Nowhere:
    """Keeps nothing: a training that is cut short starts again."""

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
    """Files ``<key>.pt`` in a folder, made when the first is saved; each is whole or not there.

    >>> checkpoints = InFolder(Path("runs/mine/checkpoints"))
    """

    path: Path

    def load(self, key: str) -> State | None:
        """The state; a damaged file is told of in the log and counts as none."""
        state = cache.load(self._file(key))
        return state if isinstance(state, dict) else None

    def save(self, key: str, state: State) -> None:
        """As ``Checkpoints.save``; where it cannot be written, a log line says so."""
        cache.save(self._file(key), state)

    def drop(self, key: str) -> None:
        """As ``Checkpoints.drop``; a file that cannot be removed is left."""
        with suppress(OSError):
            self._file(key).unlink()

    def clear(self) -> None:
        """Remove the folder, with what trainings that nobody went on with have left there."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Where one training is kept.

    >>> train(model, split, recipe, ..., checkpoint=Checkpoint(InFolder(folder), "3f2a"))

    Attributes:
        key: unlike for trainings that give different weights.
    """

    checkpoints: Checkpoints
    key: str


UNKEPT = Checkpoint(NOWHERE, "")
"""For a training that starts again when it was cut short."""


class Saver:
    """Saves a training now and then, and puts it back to where it was saved.

    >>> saver = Saver(checkpoint, model, optimizer, recipe, steps, device)
    >>> step, epoch = saver.restored()           # (0, 0): nothing was kept
    >>> saver.save_now_and_then(step, epoch)     # after every epoch
    >>> saver.drop()                             # after the last

    All that a training is made of is kept: parameters and buffers, the optimizer's state, and the
    state of the random generators that dropout draws from. On the CPU the training that goes on
    from there gives the very weights of one that nobody disturbed.
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
        self._place, self._key = checkpoint.checkpoints, checkpoint.key
        self._model, self._optimizer = model, optimizer
        self._recipe, self._steps, self._device = recipe, steps, device
        self._kept, self._saved_at = False, time.monotonic()

    def restored(self) -> tuple[int, int]:
        """Put the training back; the step and the epoch to go on with.

        What was kept of another network, recipe or number of steps counts as nothing.
        """
        state = self._place.load(self._key)
        if state is None or state.get("made_by") != self._fingerprint():
            return 0, 0
        set_state(self._model, state["model"])
        self._optimizer.load_state_dict(copied_to_cpu(state["optimizer"]))
        self._set_random_state(state["random"])
        self._kept = True
        return state["step"], state["epoch"]

    def save_now_and_then(self, step: int, epoch: int) -> None:
        """Keep the training as it is, if there is more to do and some time to lose."""
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
        self._place.save(self._key, state)
        self._kept, self._saved_at = True, time.monotonic()

    def drop(self) -> None:
        """Forget what was kept."""
        if self._kept:
            self._place.drop(self._key)

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
    """Also the buffers that are left out of a ``state_dict``."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def copied_to_cpu(value: Any) -> Any:
    """The same on the CPU; it shares no memory with what training changes in place."""
    return tree_map(
        lambda x: x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else x, value
    )
