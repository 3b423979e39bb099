"""A step of training: made anew each time, or recorded once and replayed.

A small network's step takes the host longer to launch than the GPU to compute. Recorded in a CUDA
graph, all of it is launched at once: forward and backward pass, gradients and update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from search.data.splits import Batch
from search.training.cuda_graph import CudaGraph, Recorder
from search.training.host_state import changed, host_state
from spaces.errors import blamed

Update = Callable[[Batch], Tensor]
"""A step on a batch: passes, gradients, update. Gives the loss, detached."""

WARM_STEPS = 3
"""Steps made anew before one is recorded: the first ones allocate memory and choose kernels."""

LEAST_STEPS = 100
"""Shorter trainings are not recorded: recording takes as long as some dozens of steps."""

PLAIN = (bool, int, float, str, type(None))
"""What a batch may hold besides tensors if its step is to be replayed."""


class Step(Protocol):
    """Makes one step after another.

    Attributes:
        reason: why steps that could have been replayed are made anew; empty if there is none.
    """

    reason: str

    def __call__(self, batch: Batch, rate: float) -> Tensor:
        """Make a step at this learning rate; its loss, to be used before the next step."""
        ...


def step_of(
    update: Update,
    runs: Sequence[object],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    steps: int,
    replayed: bool,
) -> Step:
    """The steps of a training of so many: replayed on CUDA if that is asked for.

    Args:
        runs: the modules and functions, anybody's, that ``update`` runs.
    """
    if device.type != "cuda" or not replayed or steps < LEAST_STEPS:
        return EagerStep(update, optimizer)
    return CapturedStep(update, runs, optimizer, CudaGraph(device), device)


class EagerStep:
    """Makes every step anew."""

    reason = ""

    def __init__(self, update: Update, optimizer: torch.optim.Optimizer) -> None:
        self._update, self._optimizer = update, optimizer

    def __call__(self, batch: Batch, rate: float) -> Tensor:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return self._update(batch)


class CapturedStep:
    """Makes the first steps anew, records one, and replays it from then on.

    All steps change the weights as `EagerStep` does, and draw the same random numbers: the warm
    steps are the training's own, and recording changes nothing. A batch of another form than the
    recorded one, a smaller last one say, gets its step made anew.

    What no replay can repeat is looked for in the last warm step: waiting for the device, random
    numbers of the host, attributes that change with every step, batches with tensors elsewhere.
    Then, and where recording fails, all steps are made anew, and ``reason`` says why.

    Args:
        runs: the modules and functions, anybody's, that ``update`` runs.
        optimizer: its learning rate becomes a tensor, and it is made ``capturable``.
    """

    def __init__(
        self,
        update: Update,
        runs: Sequence[object],
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
        device: torch.device,
    ) -> None:
        self.reason = ""
        self._update, self._runs, self._optimizer = update, runs, optimizer
        self._recorder, self._device = recorder, device
        self._warmed = 0
        self._recording: Recording | None = None
        # Fused optimizers on CUDA read rates of float32 alone; on the CPU nothing is to be rounded.
        kind = torch.float64 if device.type == "cpu" else torch.float32
        self._rate = torch.zeros((), dtype=kind, device=device)
        for group in optimizer.param_groups:
            group["lr"] = self._rate
            if "capturable" in group:
                group["capturable"] = True

    def __call__(self, batch: Batch, rate: float) -> Tensor:
        self._rate.fill_(rate)
        if not self.reason and self._warmed < WARM_STEPS:
            return self._warm_up(batch)
        if not self.reason and self._recording is None:
            self._record(batch)
        if self._recording is not None and self._recording.fits(batch):
            return self._recording.replay(batch)
        return self._update(batch)

    def _warm_up(self, batch: Batch) -> Tensor:
        self._warmed += 1
        if self._warmed < WARM_STEPS:
            return self._recorder.aside(lambda: self._update(batch))
        before = host_state(self._runs)
        found, self.reason = self._recorder.watched(lambda: self._update(batch))
        self.reason = (
            self.reason or changed(before, host_state(self._runs)) or _unfit(batch, self._device)
        )
        return found

    def _record(self, batch: Batch) -> None:
        self._optimizer.zero_grad(set_to_none=True)  # gradients become part of the recording
        static, form = _copied(batch), _form(batch)
        try:
            found, replay = self._recorder.record(lambda: self._update(static))
        except Exception as error:  # the model is anybody's, and so is what it raises
            self.reason = f"recording a step failed with {blamed(_first(error))}"
            self._optimizer.zero_grad(set_to_none=True)
            return
        self._recording = Recording(static, form, found, replay)


def _first(error: BaseException) -> BaseException:
    """The error that others followed from, as ending a recording in which one was raised does."""
    while error.__context__ is not None:
        error = error.__context__
    return error


@dataclass(frozen=True)
class Recording:
    """A recorded step: the batch and the loss that it works on, and what repeats it."""

    batch: Batch
    form: Form
    loss: Tensor
    repeat: Callable[[], None]

    def fits(self, batch: Batch) -> bool:
        """Whether the step of this batch is the recorded one."""
        return _form(batch) == self.form

    def replay(self, batch: Batch) -> Tensor:
        """Make the step on a batch that fits; its loss, which the next replay overwrites."""
        for own, given in zip(_tensors(self.batch), _tensors(batch), strict=True):
            own.copy_(given, non_blocking=True)
        self.repeat()
        return self.loss


Form = tuple[TreeSpec, list[Any]]
"""The structure of a batch; for each tensor which of its distinct ones, and what it is like, for
anything else its value."""


def _form(batch: Batch) -> Form:
    leaves, structure = tree_flatten(batch)
    first: dict[int, int] = {}
    return structure, [
        (first.setdefault(id(x), len(first)), x.shape, x.dtype, x.device)
        if isinstance(x, Tensor)
        else (type(x), x)
        for x in leaves
    ]


def _tensors(batch: Batch) -> list[Tensor]:
    """Each once: a batch that holds its own inputs has them twice."""
    leaves, _ = tree_flatten(batch)
    return list({id(x): x for x in leaves if isinstance(x, Tensor)}.values())


def _copied(batch: Batch) -> Batch:
    leaves, structure = tree_flatten(batch)
    copies = {id(x): x.clone() for x in _tensors(batch)}
    copied: Batch = tree_unflatten([copies.get(id(x), x) for x in leaves], structure)
    return copied


def _unfit(batch: Batch, device: torch.device) -> str:
    """What a batch has that a recording cannot take from the next one; empty if nothing."""
    for leaf in tree_flatten(batch)[0]:
        if isinstance(leaf, Tensor) and leaf.device.type != device.type:
            return f"a batch has a tensor on {leaf.device}"
        if not isinstance(leaf, (Tensor, *PLAIN)):
            return f"a batch has a {type(leaf).__name__}"
    return ""
