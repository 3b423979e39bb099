"""A Ray cluster: connecting to it, sending our code there, checking that it can run the trials."""

from __future__ import annotations

import os
import platform
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from spaces import UserError

ANSWER_SECONDS = 8.0
"""How long an address may take to answer."""

PACKAGES = ("spaces", "prune_ops", "results", "search")

# A local cluster asks its processes for a token. Ray would write one into the home directory, where
# it breaks clusters that are started later.
_TOKEN = secrets.token_hex(32)

# A gRPC server, which Ray's head is, answers these first bytes of HTTP/2 with a frame of settings.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
_SETTINGS = 4


@dataclass(frozen=True)
class Demand:
    """What one trial takes of a node.

    >>> Demand(cpus=2, gpus=0.25).fitting({"CPU": 16.0, "GPU": 1.0})
    4
    """

    cpus: float
    gpus: float

    def fitting(self, resources: Mapping[str, float]) -> int:
        """How many trials a node with these resources holds."""
        shares = [
            int(resources.get(name, 0.0) / share + 1e-6)
            for name, share in (("CPU", self.cpus), ("GPU", self.gpus))
            if share
        ]
        return min(shares, default=int(resources.get("CPU", 0.0)))

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU and {self.gpus:g} GPU"


@contextmanager
def connected(address: str | None, modules: tuple[str, ...] = ()) -> Iterator[None]:
    """Connect to the cluster at ``address``, or start Ray on this machine, for the block.

    Our packages and the user's ``modules`` are sent to every node. A process that is connected
    already, as one that ``ray job submit`` started may be, stays so.

    Args:
        address: ``auto``, ``HOST:PORT``, or None: ``RAY_ADDRESS`` if set, else this machine.

    Raises:
        UserError: nothing answers within some ten seconds, or another Ray or Python runs there.
    """
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where not in ("auto", "local"):
        _check_answers(where)
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if where == "local":
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        os.environ.setdefault("RAY_AUTH_TOKEN", _TOKEN)
    try:
        ray.init(where, runtime_env=_code(modules), **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(_plainly(where, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Check first that Ray answers: `ray.init` would wait two minutes and end the process."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(
            f"--address must be auto or HOST:PORT, but got {address!r}; the head node's "
            "`ray start` printed it"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as line:
            line.settimeout(ANSWER_SECONDS)
            line.sendall(_GREETING)
            answer = line.recv(9)
    except OSError as error:
        raise UserError(_no_cluster(address, error.strerror or str(error))) from error
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise UserError(_no_cluster(address, "what answers is not Ray"))


def _no_cluster(address: str, why: str) -> str:
    return (
        f"--address must be that of a Ray cluster, but at {address}: {why}; start one with "
        "`ray start --head` and give the address that it prints"
    )


def _plainly(where: str, error: Exception) -> str:
    """Ray's error from connecting, in one line."""
    text = " ".join(f"{error} {error.__cause__ or ''}".split())
    if "InvalidAuthToken" in text:
        return (
            f"the Ray cluster at {where} asks for its token, but it was not given, or another; "
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as on its head node"
        )
    if "ersion mismatch" in text:
        return (
            f"driver and cluster must run the same Ray and Python, but {_versions_in(text)}; "
            "install the cluster's versions here"
        )
    if isinstance(error, ConnectionError):
        return _no_cluster(where, "no Ray cluster was found")
    return f"Ray must start, but at {where}: {text}"


def _versions_in(text: str) -> str:
    versions = text.partition("The cluster was started with:")[2]
    cluster, _, own = versions.partition("This process")
    own = own.partition("with:")[2] or own
    return (
        f"the cluster has {cluster.strip().rstrip('.')} and this process {own.strip().rstrip('.')}"
    )


def _code(modules: tuple[str, ...]) -> dict[str, Any]:
    folders = [_path_of(name) for name in (*PACKAGES, *modules)]
    return {
        "py_modules": list(dict.fromkeys(str(folder) for folder in folders if folder)),
        "excludes": ["__pycache__", "*.pyc"],
        "env_vars": {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")},
    }


def _path_of(name: str) -> Path | None:
    """The folder or file of a module's topmost package; None if it is an installed one."""
    module = import_module(name.partition(".")[0])
    if module.__file__ is None:  # a namespace package: a folder without __init__.py
        return Path(next(iter(module.__path__)))
    file = Path(module.__file__)
    path = file.parent if file.name == "__init__.py" else file
    installed = name not in PACKAGES and "site-packages" in path.parts
    return None if installed else path


def nodes() -> list[Mapping[str, Any]]:
    """Ray's description of every node that is alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def check_room(demand: Demand) -> int:
    """How many trials the cluster holds at once.

    Raises:
        UserError: no node has what one trial takes; Ray would wait for such a node for ever.
    """
    room = sum(demand.fitting(node["Resources"]) for node in nodes())
    if room:
        return room
    most = (max(node["Resources"].get(name, 0.0) for node in nodes()) for name in ("CPU", "GPU"))
    raise UserError(
        f"a trial takes {demand}, but no node of the cluster has that: the most on one node are "
        f"{Demand(*most)}; lower --cpus-per-trial or --gpus-per-trial, or add such a node first"
    )


def check_nodes(demand: Demand, check: Callable[..., str], *arguments: Any) -> None:
    """Run ``check`` on every node that may run trials; it returns a complaint or "".

    Raises:
        UserError: the first complaint, with the node's address.
    """
    remote = ray.remote(num_cpus=0, max_retries=0)(check)
    answers = {
        node["NodeManagerAddress"]: remote.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(*arguments)
        for node in nodes()
        if demand.fitting(node["Resources"])
    }
    for address, answer in answers.items():
        if complaint := _complaint(answer):
            raise UserError(f"every node must be able to run trials, but on {address}: {complaint}")


def _complaint(answer: ray.ObjectRef) -> str:
    try:
        return ray.get(answer)
    except (NodeDiedError, TaskUnschedulableError):
        return ""  # what has left the cluster runs no trials
    except RayError as error:
        return f"a first task failed with {str(error).strip().splitlines()[-1]}"


def versions() -> dict[str, str]:
    """The versions that must be the same on every node."""
    python = ".".join(platform.python_version_tuple()[:2])
    release = torch.__version__.partition("+")[0]  # builds for CPU and CUDA may mix
    return {"Ray": ray.__version__, "Python": python, "torch": release}


def other_versions(here: Mapping[str, str]) -> str:
    """A complaint for ``check_nodes``: where this node's versions differ from the driver's."""
    differing = [
        f"{name} {version} there, {here[name]} here"
        for name, version in versions().items()
        if version != here[name]
    ]
    return f"{'; '.join(differing)}; install the same versions" if differing else ""


def this_node() -> NodeAffinitySchedulingStrategy:
    """Schedules on the node of the driver."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
