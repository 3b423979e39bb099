"""What a trial costs beyond its own work: ``python benchmarks/bookkeeping.py [model ...]``.

Runs a study whose rungs cost nothing, in a real run's database, and prints the milliseconds a trial
that are left when the sampler's own time is taken off. The aim is at most 100.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import spaces
from results.record import Candidate
from search import models
from search.config import SearchConfig
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.study.storage import open_study
from spaces import Budget

TRIALS = 100
SHAPES = {"digits_cnn": (1, 8), "resnet20": (3, 32), "resnet56": (3, 32)}
DEFAULT = ("digits_cnn", "resnet56", "resnet50", "densenet121")


@dataclass(frozen=True)
class FreeEvaluator(Evaluator):
    """Every rung is done at once."""

    def evaluate_rung(self, candidate: Candidate, rung: int, seed: int) -> RungResult:  # noqa: ARG002
        score = seed % 1000 / 1000
        return RungResult(rung, 0.0, proxies={"adaptive_bn": score}, accuracy=score, epochs=1)


class TimedSampler(BudgetSampler):
    """Adds up what proposing takes."""

    seconds = 0.0

    def sample_relative(self, *args: Any) -> dict[str, Any]:
        started = time.perf_counter()
        proposal = super().sample_relative(*args)
        self.seconds += time.perf_counter() - started
        return proposal


def measure(name: str) -> tuple[int, float, float]:
    """Groups of the model, milliseconds a trial of bookkeeping, and of the sampler."""
    channels, size = SHAPES.get(name, (3, 224))
    model = models.build(name, classes=10, in_channels=channels)
    space = spaces.discover(model, (torch.zeros(1, channels, size, size),))
    inner = make("tpe", Plan(seed=0, trials=TRIALS))
    sampler = TimedSampler(inner, space, [Budget.parse("0.5")], seed=0)
    evaluator = FreeEvaluator(
        task=None,  # type: ignore[arg-type]
        space=space,
        scores={},
        config=SearchConfig(),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        open_study(Path(folder) / "study.db", sampler) as opened,
    ):
        started = time.perf_counter()
        Local().run(opened, evaluator, TRIALS, lambda _: None)
        total = time.perf_counter() - started
    per_trial = 1000 / TRIALS
    return len(space.groups), (total - sampler.seconds) * per_trial, sampler.seconds * per_trial


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{TRIALS} trials of three rungs, milliseconds a trial")
    for name in sys.argv[1:] or DEFAULT:
        groups, bookkeeping, proposing = measure(name)
        print(
            f"{name:12} {groups:4} groups   bookkeeping {bookkeeping:6.1f}   tpe {proposing:6.1f}"
        )
