"""What runs on the nodes of a cluster, and how evaluator and checkpoints get there and back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError

from results.record import TrialRecord
from results.rules import next_rung
from search.engines import ray_cluster
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.training.checkpoints import Checkpoints, State
from search.training.hardware import pick_device


class RungActor(tune.Trainable):
    """An actor on some node that measures one trial after another, a rung a step."""

    def setup(
        self, config: dict[str, Any], evaluator: Evaluator, threads: int, gpus: float
    ) -> None:
        self._evaluator = _placed(evaluator, threads, gpus)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._record = TrialRecord.from_json(new_config["record"])
        self._rung = next_rung(self._record)
        return True

    def step(self) -> dict[str, Any]:
        record, rung = self._record, self._rung
        print(f"trial {record.number} begins rung {rung}: {record.policy.to_json()}", flush=True)
        self._rung += 1
        return {"result": self._evaluator.evaluate_rung(record.candidate, rung, record.seed)}


def train_final(
    evaluator: Evaluator, job: TrainingJob, threads: int, gpus: float
) -> TrainingResult:
    return _placed(evaluator, threads, gpus).train_final(job)


def _placed(evaluator: Evaluator, threads: int, gpus: float) -> Evaluator:
    """The evaluator on this node's device; torch gets ``threads`` threads."""
    torch.set_num_threads(threads)
    name = evaluator.config.task.device.partition(":")[0]  # Ray chooses the GPU
    return evaluator.on(pick_device("cpu" if name == "auto" and not gpus else name))


def unreadable(evaluator: Evaluator) -> str:
    """A complaint for `ray_cluster.check_nodes` if this node cannot read the images."""
    try:
        evaluator.check_readable()
    except Exception as error:
        return f"{error}; the data must be at the same path on every node"
    return ""


@dataclass(frozen=True)
class _Remote(Checkpoints):
    """Checkpoints in the driver's run folder, for use on any node."""

    keeper: Any

    def load(self, key: str) -> State | None:
        with suppress(RayError):  # the training then starts again
            return ray.get(self.keeper.load.remote(key))
        return None

    def save(self, key: str, state: State) -> None:
        with suppress(RayError):
            ray.get(self.keeper.save.remote(key, state))

    def drop(self, key: str) -> None:
        self.keeper.drop.remote(key)


class Sender:
    """Sends evaluators to the nodes; checkpoints stay with the driver, kept by one actor there."""

    def __init__(self) -> None:
        self._checkpoints: Checkpoints | None = None
        self._keeper: Any = None

    def send(self, evaluator: Evaluator) -> ray.ObjectRef:
        """The evaluator in the object store, on the CPU."""
        if self._checkpoints is not evaluator.checkpoints:
            self._keep(evaluator.checkpoints)
        remote = _Remote(self._keeper)
        return ray.put(replace(evaluator.on(torch.device("cpu")), checkpoints=remote))

    def _keep(self, checkpoints: Checkpoints) -> None:
        if self._keeper is not None:
            ray.kill(self._keeper)
        here = ray_cluster.this_node()
        actor = ray.remote(_Keeper).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here)
        self._checkpoints, self._keeper = checkpoints, actor.remote(checkpoints)


class _Keeper:
    """An actor on the driver's node that keeps the checkpoints of all nodes."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def load(self, key: str) -> State | None:
        return self._checkpoints.load(key)

    def save(self, key: str, state: State) -> None:
        self._checkpoints.save(key, state)

    def drop(self, key: str) -> None:
        self._checkpoints.drop(key)
