"""What a trial costs Ray's driver as trials pile up: ``python benchmarks/ray_growth.py``.

Runs trials that only sleep on as many simulated workers as asked for: real Ray actors, each of
which thinks that it has a core, but without torch, which would take 400 MB in each. Prints, for
every hundred trials, the milliseconds a trial of the driver's CPU and of the clock on the wall, and
how the last hundred compares with the first. What ends while the workers start is not counted.

    python benchmarks/ray_growth.py --trials 1000 --workers 64
    python benchmarks/ray_growth.py --trials 400 --workers 2 --nap 0   what Ray adds to a trial
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import ray
import torch
from ray import tune
from studies import discovered, opened, where_to

from results.record import TrialRecord
from search.config import SearchConfig
from search.engines import ray_worker
from search.engines.ray_cluster import Demand
from search.engines.ray_tune import RayTune
from search.evaluation.evaluator import Evaluator
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.study.peers import OpenStudy
from spaces import Budget


class Sleeper(tune.Trainable):
    """Stands in for ``ray_worker.RungActor``: the same messages, and every rung only sleeps."""

    nap = 0.5

    def setup(self, config: dict[str, Any], evaluator: None, threads: int, gpus: float) -> None:  # noqa: ARG002
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        record = json.loads(new_config["record"])
        self._seed = record["seed"]
        self._rung = len(record["accuracy"]) + 1 if record["proxies"] else 0
        return True

    def step(self) -> dict[str, Any]:
        time.sleep(self.nap)
        score, rung = self._seed % 1000 / 1000, self._rung
        self._rung += 1
        proxies = {} if rung else {"adaptive_bn": score}
        result = SimpleNamespace(
            rung=rung, seconds=0.0, proxies=proxies, accuracy=score, epochs=1, failure=None
        )
        return {"result": result}


@contextmanager
def nothing_sent(_evaluator: Evaluator) -> Iterator[ray.ObjectRef]:
    """Stands in for ``ray_worker.sent``."""
    yield ray.put(None)


class Watch:
    """Prints a line each hundred trials that ended, once all workers have had one."""

    def __init__(self, workers: int) -> None:
        self.rows: list[tuple[float, float]] = []
        self._ended, self._workers = 0, workers
        self._mark = (0.0, 0.0)

    def __call__(self, record: TrialRecord) -> None:
        if record.state == "running":
            return
        self._ended += 1
        if self._ended < self._workers or (self._ended - self._workers) % 100:
            return
        mark = (time.process_time(), time.perf_counter())
        if self._ended > self._workers:
            cpu, wall = (10 * (now - before) for now, before in zip(mark, self._mark, strict=True))
            self.rows.append((cpu, wall))
            print(
                f"{self._ended:7} ended   driver's CPU {cpu:7.1f}   clock {wall:7.1f}", flush=True
            )
        self._mark = mark


def main() -> None:
    """Run the trials and print one line a hundred."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="digits_cnn")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--storage", help="memory or a URL (default: SQLite as a run opens it)")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--nap", type=float, default=0.5, help="seconds a rung")
    options = parser.parse_args()
    if options.trials < options.workers + 200:
        parser.error(
            "--trials must be at least 200 above --workers, for a first and a last hundred"
        )
    ray.init(
        num_cpus=options.workers,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    space, watch = discovered(options.model), Watch(options.workers)
    inner = make(options.sampler, Plan(0, options.trials, options.workers))
    sampler = BudgetSampler(inner, space, [Budget.parse("0.5")], seed=0)
    evaluator = Evaluator(
        task=None,  # type: ignore[arg-type]
        space=space,
        scores={},
        config=SearchConfig(),
    )
    Sleeper.nap = options.nap
    ray_worker.RungActor, ray_worker.sent = Sleeper, nothing_sent
    ray_worker.unreadable = lambda _: ""
    where = where_to(options.storage)
    print(f"{options.model}, {options.sampler}, {where}, {options.workers} workers; ms a trial")
    with opened(options.storage, sampler) as study:
        RayTune(Demand(1, 0)).run(OpenStudy(study), evaluator, options.trials, watch)
    cpu, wall = (watch.rows[-1][part] / watch.rows[0][part] for part in (0, 1))
    print(f"last over first: driver's CPU {cpu:.2f}   clock {wall:.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
