"""What runs on a cluster's nodes: the actor that climbs, and the ways to its climb and keeper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError

from results.record import TrialRecord
from search.checkpoints import Checkpoints, State
from search.engines import ray_cluster
from search.hardware import pick_device
from search.trial import Climb, FinalJob, FinalOutcome


class Climber(tune.Trainable):
    """An actor on some node: climbs one trial after another, a rung a step."""

    def setup(self, config: dict[str, Any], climb: Climb, threads: int, gpus: float) -> None:
        self._climb = _settled(climb, threads, gpus)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._record = TrialRecord.from_json(new_config["record"])
        self._rung = self._climb.next_rung(self._record)
        return True

    def step(self) -> dict[str, Any]:
        record, rung = self._record, self._rung
        print(f"trial {record.number} begins rung {rung}: {record.policy.to_json()}", flush=True)
        self._rung += 1
        return {"outcome": self._climb.rung(record.policy, rung, record.seed, record.criterion)}


def final(climb: Climb, job: FinalJob, threads: int, gpus: float) -> FinalOutcome:
    return _settled(climb, threads, gpus).final(job)


@contextmanager
def sent(climb: Climb) -> Iterator[ray.ObjectRef]:
    """The climb in the object store, on the CPU, its checkpoints reachable from every node."""
    keeper = (
        ray.remote(_Keeper)
        .options(num_cpus=0, max_restarts=-1, scheduling_strategy=ray_cluster.this_node())
        .remote(climb.checkpoints)
    )
    try:
        yield ray.put(replace(climb.on(torch.device("cpu")), checkpoints=_Afar(keeper)))
    finally:
        ray.kill(keeper)


def _settled(climb: Climb, threads: int, gpus: float) -> Climb:
    """On the device of this node's choice, with so many threads."""
    torch.set_num_threads(threads)
    name = climb.config.task.device.partition(":")[0]  # which GPU it is, is Ray's to say
    return climb.on(pick_device("cpu" if name == "auto" and not gpus else name))


def unreadable(climb: Climb) -> str:
    """A complaint if the images cannot be read on this node."""
    try:
        climb.look()
    except Exception as error:
        return f"{error}; the data must be at the same path on every node"
    return ""


class _Afar(Checkpoints):
    """Checkpoints in the driver's run folder, from any node."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper

    def load(self, key: str) -> State | None:
        with suppress(RayError):  # without it the training starts again
            state: State | None = ray.get(self._keeper.load.remote(key))
            return state
        return None

    def save(self, key: str, state: State) -> None:
        with suppress(RayError):
            ray.get(self._keeper.save.remote(key, state))

    def drop(self, key: str) -> None:
        self._keeper.drop.remote(key)


class _Keeper:
    """An actor beside the driver that keeps checkpoints for all nodes."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def load(self, key: str) -> State | None:
        return self._checkpoints.load(key)

    def save(self, key: str, state: State) -> None:
        self._checkpoints.save(key, state)

    def drop(self, key: str) -> None:
        self._checkpoints.drop(key)
