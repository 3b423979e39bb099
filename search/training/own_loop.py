"""The user's own training loop, which takes the place of ours in every training of a run.

>>> def train(model, epochs, seed):
...     optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
...     ...
>>> task = Task(model=model, train=train_loader, ..., train_loop=train)
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.errors import Diverged, LoopError
from search.training import checkpoints
from search.training.checkpoints import NOT_SAVED, Checkpoint, State, copied_to_cpu
from spaces.errors import UserError, blamed
from spaces.state import all_tensors, set_state, state_of

TrainLoop = Callable[..., nn.Module | None]
"""``train(model, epochs, seed)`` trains ``model`` for that many epochs, a whole number.

Each call is a training of its own. The model has the weights to begin with, on the task's device
and in train mode, and no state is handed from one call to the next: a rung, a final training and
a stage of ``--schedule layerwise`` each make their optimizer anew and anneal their learning rate
within ``epochs``. The network that was trained is the one given, or is returned. The
global generators of torch, numpy and Python are seeded with ``seed``, 0 to 2³² - 1.

A loop with a fourth parameter named ``checkpoint`` gets a `LoopCheckpoint`. One without is called
again from the beginning where the process was killed in it.
"""

SEEDS = 2**32
"""numpy and others take no seed of more bits."""

_Tensors = dict[str, tuple[tuple[int, ...], torch.dtype]]


@dataclass
class LoopCheckpoint:
    """Where a loop keeps the state of a training that takes long, to go on after a kill.

    >>> def train(model, epochs, seed, checkpoint):
    ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    ...     done = 0
    ...     if (state := checkpoint.load()) is not None:
    ...         model.load_state_dict(state["model"])
    ...         optimizer.load_state_dict(state["optimizer"])
    ...         done = state["epochs"]
    ...     for epoch in range(done, epochs):
    ...         ...
    ...         parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    ...         checkpoint.save({**parts, "epochs": epoch + 1})

    What was saved is there for the same training alone, on any node of a cluster, and is dropped
    when that has ended.
    """

    _kept: Checkpoint
    _saved_at: float = field(default_factory=time.monotonic)

    def load(self) -> State | None:
        """What was saved last, its tensors on the CPU; None at the beginning of a training."""
        return self._kept.checkpoints.load(self._kept.key)

    def save(self, state: State) -> None:
        """Keep tensors, numbers and strings, in dicts and lists; at most once a minute, so that it
        may be called after every epoch."""
        if time.monotonic() - self._saved_at >= checkpoints.EVERY_SECONDS:
            self._kept.checkpoints.save(self._kept.key, copied_to_cpu(state))
            self._saved_at = time.monotonic()


def check_loop(loop: Any) -> None:
    """Check that a loop can be called as it will be.

    Raises:
        UserError: it is no function of three arguments.
    """
    if not callable(loop):
        raise UserError(
            "a training loop must be a function of (model, epochs, seed), but got "
            f"{type(loop).__name__}; give one"
        )
    try:
        inspect.signature(loop).bind(None, 1, 0, **_more(loop, None))
    except TypeError as error:
        raise UserError(
            f"{told(loop)} must take (model, epochs, seed), but takes "
            f"{inspect.signature(loop)}: {error}; change its parameters"
        ) from error
    except ValueError:  # some builtins have no signature
        return


def name_of(loop: TrainLoop) -> str:
    """``package.module:function``, or the class of an object that is called."""
    while isinstance(loop, functools.partial):
        loop = loop.func
    named = loop if hasattr(loop, "__qualname__") else type(loop)
    return f"{named.__module__}:{named.__qualname__}"


def told(loop: TrainLoop) -> str:
    """A loop in messages."""
    return f"the training loop {name_of(loop)}"


def train_by(
    loop: TrainLoop,
    model: nn.Module,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint = NOT_SAVED,
) -> None:
    """Have the user's loop train ``model``, which is left in eval mode on its device.

    The caller's random state is not changed. What the loop does to the network besides training it
    is undone where that is possible: its mode, its device, frozen parameters.

    Raises:
        LoopError: the loop fails, or what it leaves is not the network, trained.
        Diverged: weights are NaN or infinite.
    """
    model.to(device).train()
    wanted, trained = _form(model), {n: p.requires_grad for n, p in model.named_parameters()}
    before = {name: p.detach().clone() for name, p in model.named_parameters() if trained[name]}
    returned = _run(loop, model, epochs, seed, checkpoint)
    if returned is not None and returned is not model:
        _check_form(loop, returned, wanted)
        set_state(model, state_of(returned))
    _check_form(loop, model, wanted)
    _check_trained(loop, model, before, epochs)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trained[name])
        parameter.grad = None
    checkpoint.checkpoints.drop(checkpoint.key)
    model.eval().to(device).to(memory_format=torch.contiguous_format)


def _run(
    loop: TrainLoop, model: nn.Module, epochs: int, seed: int, checkpoint: Checkpoint
) -> nn.Module | None:
    short = seed if seed < SEEDS else int(np.random.SeedSequence(seed).generate_state(1)[0])
    devices = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices=devices), _seeded_by(short), torch.enable_grad():
        torch.manual_seed(short)
        try:
            returned = loop(model, epochs, short, **_more(loop, LoopCheckpoint(checkpoint)))
        except Diverged:
            raise
        except (Exception, SystemExit) as error:  # it is anybody's code, and so is what it raises
            raise LoopError(
                f"{told(loop)} must train the network, but it fails with {blamed(error)}"
            ) from error
    if returned is not None and not isinstance(returned, nn.Module):
        raise LoopError(
            f"{told(loop)} must return the network that it trained, or None if that is the one it "
            f"was given, but returned {type(returned).__name__}; leave the return out"
        )
    return returned


@contextmanager
def _seeded_by(seed: int) -> Iterator[None]:
    """Python's and numpy's global generators are seeded in the block, and put back after it."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _more(loop: TrainLoop, checkpoint: LoopCheckpoint | None) -> dict[str, Any]:
    """What is given by name to a loop that takes it."""
    try:
        takes = "checkpoint" in inspect.signature(loop).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        takes = False
    return {"checkpoint": checkpoint} if takes else {}


def _form(model: nn.Module) -> _Tensors:
    """Shape and dtype of every parameter and buffer."""
    return {name: (tuple(t.shape), t.dtype) for name, t in all_tensors(model).items()}


def _check_form(loop: TrainLoop, model: nn.Module, wanted: _Tensors) -> None:
    found = _form(model)
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if not differing:
        return
    name = differing[0]
    must, came = (_described(form.get(name)) for form in (wanted, found))
    more = f", and {len(differing) - 1} more differ" if len(differing) > 1 else ""
    raise LoopError(
        f"{told(loop)} must leave a network of the shapes and types that it was given, but {name} "
        f"is {came} instead of {must}{more}; train the given one in place, or return it bare"
    )


def _described(form: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    if form is None:
        return "missing"
    return f"{str(form[1]).removeprefix('torch.')} {form[0]}"


def _check_trained(
    loop: TrainLoop, model: nn.Module, before: dict[str, Tensor], epochs: int
) -> None:
    after = dict(model.named_parameters())
    if any(parameter.is_meta for parameter in after.values()):
        raise LoopError(
            f"{told(loop)} must leave weights, but the network is on the meta device, which has no "
            "values; leave it where it is"
        )
    if broken := [name for name, parameter in after.items() if not parameter.isfinite().all()]:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise Diverged(f"after {epochs} epochs of {told(loop)} {broken[0]}{more} is not finite")
    if before and all(
        torch.equal(values, after[name].to(values.device)) for name, values in before.items()
    ):
        raise LoopError(
            f"{told(loop)} must train the network that it is given, but left its weights as they "
            "were; if it trains a copy, return that"
        )
