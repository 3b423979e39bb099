"""A climb that costs no training, for tests of what engines do with one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from search.evaluator import Evaluator
from search.jobs import Failure, RungResult, TrainingJob, TrainingResult

from search.config import SearchConfig
from search.train import MODES, Recipe
from spaces import Policy, Space

FINAL = 99
"""What trouble is told instead of a rung when a network is trained to the end."""

Trouble = Callable[[Policy, int, int], Failure | None]


def none(_policy: Policy, _rung: int, _seed: int) -> Failure | None:
    """Nothing goes wrong."""
    return None


@dataclass(frozen=True)
class ToyEvaluator(Evaluator):
    """The wider a policy is on average, the better it scores; ``trouble`` may strike first.

    Of criteria that are searched the later ones are better, each by 1.
    """

    trouble: Trouble = none

    @property
    def recipe(self) -> Recipe:
        return MODES[self.config.training.train].recipe

    def on(self, device: torch.device) -> ToyEvaluator:  # noqa: ARG002
        return self  # there is no task to move

    def look(self) -> None:
        """There is nothing to read."""

    def rung(self, policy: Policy, rung: int, seed: int, criterion: str = "") -> RungResult:
        failure, score = self.trouble(policy, rung, seed), self.worth(policy)
        if self.config.searched:
            score += self.config.searched.index(criterion)
        if failure is not None:
            return RungResult(rung, 0.0, failure=failure)
        if rung == 0:
            return RungResult(0, 0.0, proxies={"adaptive_bn": score})
        return RungResult(rung, 0.0, accuracy=score, epochs=self.config.judging.rungs[rung - 1])

    def final(self, job: TrainingJob) -> TrainingResult:
        policy = job.policy
        failure, score = self.trouble(policy, FINAL, job.seed), self.worth(policy)
        if failure is not None:
            return TrainingResult(0.0, failure=failure)
        weights = {"widths": torch.from_numpy(self.space.widths(policy))}
        return TrainingResult(0.0, self.config.training.final_epochs, score, score / 2, weights)

    def worth(self, policy: Policy) -> float:
        return float(np.mean(self.space.widths(policy) / self.space.lattice.top))


def toy(space: Space, trouble: Trouble = none, **options: Any) -> ToyEvaluator:
    """A toy climb with these options of the search."""
    config = SearchConfig.of(**options)
    return ToyEvaluator(None, space, {}, config, trouble=trouble)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Alike:
    """Every trial fails at one rung, in the same way."""

    rung: int

    def __call__(self, _policy: Policy, rung: int, _seed: int) -> Failure | None:
        return Failure("diverged", "diverged: nan") if rung == self.rung else None


@dataclass(frozen=True)
class Odd:
    """Whatever has an odd seed fails, each in its own way."""

    def __call__(self, _policy: Policy, _rung: int, seed: int) -> Failure | None:
        return Failure(f"kind {seed}", "bad luck") if seed % 2 else None


@dataclass(frozen=True)
class DieOnce:
    """The process that gets here first is killed, as by the system when memory runs out."""

    mark: Path
    rung: int = 1

    def __call__(self, _policy: Policy, rung: int, _seed: int) -> Failure | None:
        if rung == self.rung:
            with suppress(FileExistsError):
                self.mark.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return None
