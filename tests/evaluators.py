"""An evaluator that trains nothing, for tests of what engines do with one."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from results.record import Candidate
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult, TrainingJob, TrainingResult
from search.training.specs import Specs
from spaces import Policy, Space

FINAL = 99
"""What trouble is told instead of a rung when a network is trained to the end."""

Trouble = Callable[[Policy, int, int], Failure | None]


def none(_policy: Policy, _rung: int, _seed: int) -> Failure | None:
    """Nothing goes wrong."""
    return None


IMAGES = 1000
"""Training images that a toy evaluator pretends to have."""


@dataclass(frozen=True, kw_only=True)
class ToyEvaluator(Evaluator):
    """The wider a policy is on average, the better it scores; ``trouble`` may strike first.

    Of criteria that are searched the later ones are better, each by 1.
    """

    trouble: Trouble = none

    @property
    def specs(self) -> Specs:  # type: ignore[override]
        return Specs(self.config, self.space, IMAGES, self.rates)

    def on(self, device: torch.device) -> ToyEvaluator:  # noqa: ARG002
        return self  # there is no task to move

    def check_readable(self) -> None:
        """There is nothing to read."""

    def evaluate_rung(self, candidate: Candidate, rung: int, seed: int) -> RungResult:
        policy = candidate.policy
        failure, score = self.trouble(policy, rung, seed), self.worth(policy)
        if self.config.searched:
            score += self.config.searched.index(candidate.criterion)
        if failure is not None:
            return RungResult(rung, 0.0, failure=failure)
        if rung == 0:
            return RungResult(0, 0.0, proxies={"reconstructed": score})
        return RungResult(rung, 0.0, accuracy=score, epochs=self.config.judging.rungs[rung - 1])

    def train_final(self, job: TrainingJob) -> TrainingResult:
        policy = job.candidate.policy
        failure, score = self.trouble(policy, FINAL, job.seed), self.worth(policy)
        if failure is not None:
            return TrainingResult(0.0, failure=failure)
        weights = {"widths": torch.from_numpy(self.space.widths(policy))}
        test = score / 2 if job.tested else math.nan
        return TrainingResult(0.0, score, test, weights if job.returns_weights else {})

    def worth(self, policy: Policy) -> float:
        return float(np.mean(self.space.widths(policy) / self.space.lattice.top))


def toy(space: Space, trouble: Trouble = none, **options: Any) -> ToyEvaluator:
    """A toy evaluator with these options of the search."""
    config = SearchConfig.of(**options)
    return ToyEvaluator(
        task=None,  # type: ignore[arg-type]
        space=space,
        scores={},
        config=config,
        trouble=trouble,
    )


def own_job(evaluator: Evaluator, policy: Policy, seed: int, **changes: Any) -> TrainingJob:
    """A final training in the evaluator's own mode."""
    return TrainingJob(Candidate(policy), evaluator.specs.final(policy), seed, **changes)


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
                die()
        return None


def die(*_: object) -> None:
    """As when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
