"""A real Ray cluster of several nodes on this machine: every node its own processes and address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

RAY = Path(sysconfig.get_path("scripts")) / "ray"
ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_num_workers_soft_limit": "6",  # idle ones are kept: each imports torch for seconds
    "RAY_health_check_period_ms": "200",  # five that nobody answers, and a node is known to be dead
    "RAY_worker_niceness": "0",  # not behind the other tests
    "RAY_AUTH_MODE": "disabled",  # what a plain `ray start` does, unless a token lies in the home
    "RAY_RUNTIME_ENV_HOOK": "cluster.forked",
}
"""For every process of the cluster and for those that connect to it."""

FORK = Path(__file__).with_name("ray_worker_fork.py")


def forked(runtime_env: dict[str, Any] | None) -> dict[str, Any]:
    """Ray's hook: what a driver asks for, and that its workers are forks of the node's server."""
    return {**(runtime_env or {}), "py_executable": f"{sys.executable} -IS {FORK} $WORKER_FORKS"}


def search_without_ray(arguments: list[str]) -> int:
    """The command line where Ray is not installed."""
    sys.modules["ray"] = None  # type: ignore[assignment]
    from search.cli import main

    return main(arguments)


class Cluster:
    """A head and other nodes, each with so many CPUs, on addresses of the loopback network.

    >>> with Cluster(cpus=1) as cluster:
    ...     cluster.add("127.0.0.3", cpus=1)
    ...     subprocess.run(["python", "search.py", "--engine", "ray", "--address", cluster.address])
    ...     cluster.kill("127.0.0.3")
    """

    def __init__(self, cpus: int, head: str = "127.0.0.2") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp")  # sockets: short paths
        self.head, self.port = head, _free_port()
        self._forks = str(Path(self._folder.name) / "forks")
        self._server = _server(self._forks)
        try:
            self._start(
                head,
                cpus,
                "--head",
                "--num-gpus=0",
                f"--port={self.port}",
                "--include-dashboard=false",
                f"--temp-dir={self._folder.name}",
            )
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        return f"{self.head}:{self.port}"

    def add(self, node: str, cpus: int, gpus: int = 0) -> None:
        """One more node, and wait until it has joined. Ray takes our word for the GPUs."""
        self._start(node, cpus, f"--address={self.address}", f"--num-gpus={gpus}")

    def kill(self, node: str) -> None:
        """As a power cut does: the node's daemons at once; its workers end with them."""
        _kill_all(f"node-ip-address={node}", f"node_ip_address={node}")

    def stop(self) -> None:
        _kill_all(self._folder.name)
        self._server.kill()
        self._server.wait()
        self._folder.cleanup()

    def _start(self, node: str, cpus: int, *arguments: str) -> None:
        command = [str(RAY), "start", f"--node-ip-address={node}", f"--num-cpus={cpus}"]
        done = subprocess.run(
            [*command, "--object-store-memory=200000000", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **ENVIRONMENT, "WORKER_FORKS": self._forks},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _server(where: str) -> subprocess.Popen[bytes]:
    """Forks workers for all nodes; it may be asked at once, and answers when it is ready."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(where)
        listening.listen(64)
        return subprocess.Popen([sys.executable, "-I", str(FORK), where], stdin=listening)


def command_lines() -> dict[int, str]:
    """Of every process on this machine, by its number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            found[int(folder.name)] = (folder / "cmdline").read_text(errors="replace")
    return found


def _kill_all(*marks: str) -> None:
    """Every process with one of these in its command line."""
    for process, line in command_lines().items():
        if any(mark in line for mark in marks):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
