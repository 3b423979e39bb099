"""What a second worker is worth: ``python benchmarks/scaling.py``.

Runs equal trials, each the same real training of the same policy, with one worker of one thread and
with two, in one run, for the local engine and for Ray. Prints how many times as fast two are, once
both have ended a trial (starting workers takes seconds, whatever they do then), and over the whole
run. The aim is 1.7 on two cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

import prune_ops
import spaces
from results.record import Candidate, TrialRecord
from search import build_task
from search.config import SearchConfig
from search.engines import Engine
from search.engines.local import Local
from search.engines.ray_cluster import Demand, connected
from search.engines.ray_tune import RayTune
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.study.storage import open_study
from spaces import Budget

TRIALS = 40


@dataclass(frozen=True)
class EqualEvaluator(Evaluator):
    """Whatever the policy, uniform widths are trained."""

    def evaluate_rung(self, candidate: Candidate, rung: int, seed: int) -> RungResult:  # noqa: ARG002
        return super().evaluate_rung(Candidate(self.space.uniform(0.5)), rung, seed)


@dataclass
class Ends:
    """When each trial ended."""

    at: list[float] = field(default_factory=list)

    def __call__(self, record: TrialRecord) -> None:
        if record.state != "running":
            self.at.append(time.perf_counter())


def seconds(engine: Engine, evaluator: Evaluator) -> tuple[float, float]:
    """Of one trial once all workers are at work, and of the whole run."""
    half, ends, began = Budget.parse("0.5"), Ends(), time.perf_counter()
    sampler = BudgetSampler(make("random", Plan(0, TRIALS)), evaluator.space, [half], seed=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_study(Path(folder) / "study.db", sampler) as opened,
    ):
        engine.run(opened, evaluator, TRIALS, ends)
    started = engine.at_once  # so many trials had ended when all were under way
    steady = (ends.at[-1] - ends.at[started - 1]) / (TRIALS - started)
    return steady, ends.at[-1] - began


def compare(name: str, one: Engine, two: Engine, evaluator: Evaluator) -> None:
    """Print the ratios of an engine with one worker and with two."""
    (steady, whole), (steady_two, whole_two) = (seconds(engine, evaluator) for engine in (one, two))
    steady, whole = steady / steady_two, whole / whole_two
    print(f"{name:6}  two workers over one: {steady:.2f} times as fast, whole run {whole:.2f}")


def main() -> None:
    """Print one line an engine."""
    task = build_task("digits_cnn", "digits")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["l1"])
    # Everybody climbs to the top by the coin, so that all trials are equal.
    config = SearchConfig.of(rungs=(8,), explore=1.0, criterion="l1")
    evaluator = EqualEvaluator(task=task, space=space, scores=scores, config=config)
    compare("local", Local(1), Local(2), evaluator)
    with connected(None):
        compare("ray", RayTune(Demand(1, 0), most=1), RayTune(Demand(1, 0), most=2), evaluator)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
