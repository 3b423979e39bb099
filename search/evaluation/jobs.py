"""Jobs and their results, as plain data that can be sent to any process.

A trial is evaluated rung by rung (`RungResult`); a candidate that is trained to the end, for
whatever purpose, is a `TrainingJob` with a `TrainingResult`.
"""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from prune_ops import Scores, Size
from results.record import NOT_COUNTED, Candidate, ClassCounts
from results.training import TrainingSpec
from search.errors import Diverged, LoopError
from spaces import copied
from spaces.errors import ModelError, blamed

DIVERGED = "diverged"
"""The kind of failure that a repeated training has again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no result: ``kind`` groups like failures, ``reason`` is one line, ``trace``
    the whole traceback for the log."""

    kind: str
    reason: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class RungResult:
    """The result of one rung: proxies at rung 0, accuracy and epochs above, or a failure.

    ``not_replayed`` says why its steps were launched one by one; see `search.training.capture`.
    """

    rung: int
    seconds: float
    proxies: dict[str, float] = field(default_factory=dict)
    accuracy: float = math.nan
    epochs: int = 0
    failure: Failure | None = None
    not_replayed: str = ""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A network to be trained to the end.

    Attributes:
        candidate: its widths, and what chooses the channels it inherits: a criterion of the run,
            or the name of another `WeightSource`; empty for the run's own criterion.
        tested: whether the test split is read.
        returns_weights: whether the trained weights come back.
    """

    candidate: Candidate
    spec: TrainingSpec
    seed: int
    tested: bool = True
    returns_weights: bool = False


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training: accuracies 0 to 1 and the weights, or a failure.

    Attributes:
        test_accuracy: nan if the test split was not read.
        by_class: of the test split, if it was read.
        not_replayed: as of `RungResult`.
        weights: what ``spaces.state.state_of`` gives, on the CPU; empty unless asked for.
        size: size of the network, where weights were compressed.
    """

    seconds: float
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    weights: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    size: Size | None = None
    by_class: ClassCounts = NOT_COUNTED
    not_replayed: str = ""


@dataclass(frozen=True, eq=False)
class WeightSource:
    """What a training inherits from elsewhere than the run's criterion and model.

    Attributes:
        scores: channels with the highest are kept.
        model: has the weights; None for the task's model.
    """

    scores: Scores
    model: nn.Module | None = None

    def on(self, device: torch.device) -> WeightSource:
        """The same with its model on another device."""
        return self if self.model is None else replace(self, model=copied(self.model).to(device))


def failure_of(error: Exception) -> Failure:
    """What went wrong in training or judging one network, in one line."""
    if isinstance(error, Diverged):
        return Failure(DIVERGED, f"diverged: {error}")
    trace = "".join(traceback.format_exception(error))
    cause = error.__cause__ if isinstance(error, ModelError | LoopError) else error
    if isinstance(cause, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return Failure("out of memory", f"out of memory: {blamed(error)}", trace)
    reason = str(error) if isinstance(error, LoopError) else blamed(error)
    return Failure(type(error).__name__, reason, trace)
