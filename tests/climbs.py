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

from search.config import SearchConfig
from search.trial import Climb, Failure, Outcome
from spaces import Policy, Space

Trouble = Callable[[Policy, int, int], Failure | None]


def none(_policy: Policy, _rung: int, _seed: int) -> Failure | None:
    """Nothing goes wrong."""
    return None


@dataclass(frozen=True)
class ToyClimb(Climb):
    """The wider a policy is on average, the better it scores; ``trouble`` may strike first."""

    trouble: Trouble = none

    def rung(self, policy: Policy, rung: int, seed: int) -> Outcome:
        failure = self.trouble(policy, rung, seed)
        score = float(np.mean(self.space.widths(policy) / self.space.lattice.top))
        if failure is not None:
            return Outcome(rung, 0.0, failure=failure)
        if rung == 0:
            return Outcome(0, 0.0, proxies={"adaptive_bn": score})
        return Outcome(rung, 0.0, accuracy=score, epochs=self.config.judging.rungs[rung - 1])


def toy(space: Space, trouble: Trouble = none, **options: Any) -> ToyClimb:
    """A toy climb with these options of the search."""
    return ToyClimb(None, space, {}, SearchConfig.of(**options), trouble)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Alike:
    """Every trial fails at one rung, in the same way."""

    rung: int

    def __call__(self, _policy: Policy, rung: int, _seed: int) -> Failure | None:
        return Failure("diverged", "diverged: nan") if rung == self.rung else None


@dataclass(frozen=True)
class Odd:
    """Trials with an odd seed fail at rung 0, each in its own way."""

    def __call__(self, _policy: Policy, _rung: int, seed: int) -> Failure | None:
        return Failure(f"kind {seed}", "bad luck") if seed % 2 else None


@dataclass(frozen=True)
class DieOnce:
    """The process that gets here first is killed, as by the system when memory runs out."""

    mark: Path

    def __call__(self, _policy: Policy, rung: int, _seed: int) -> Failure | None:
        if rung == 1:
            with suppress(FileExistsError):
                self.mark.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return None
