"""The Ray engine from the command line, without a cluster and on a real one of two nodes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from commands import Command
from torch import nn
from waiting import PATIENCE, wait_until

import results
from search.cli import USER_ERROR, main

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[tune]'")

from cluster import ENVIRONMENT, Cluster, command_lines

ROOT = Path(__file__).parents[2]


def start(runs: Path, *arguments: str, **more: str) -> Command:
    options = ["--trials", "6", "--rungs", "1", "--train-images", "200", "--repeats", "0"]
    options += ["--final-epochs", "1", "--final-seeds", "1", "--starts", "l1", "--lr", "0.01"]
    return Command([*options, "--runs-dir", str(runs), *arguments], {**ENVIRONMENT, **more})


def finish(process: Command) -> tuple[int | None, str]:
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


# ---- without a cluster; these come first


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def refused(tmp_path: Path, *arguments: str, **more: str) -> str:
    """What is said; in one line, with exit code 2."""
    code, errors = finish(start(tmp_path, "--engine", "ray", *arguments, **more))
    (line,) = errors.splitlines()
    assert (code, line[:7]) == (2, "error: ")
    return line


@pytest.fixture
def refused_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """As ``refused``, in this process: of an address that Ray itself never gets to see."""

    def refused_here(address: str) -> str:
        arguments = ["--engine", "ray", "--address", address, "--runs-dir", str(tmp_path)]
        assert main(arguments) == USER_ERROR
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line

    return refused_here


def test_an_address_nobody_answers_at(refused_here: Callable[[str], str]) -> None:
    where = closed_port()
    assert f"but at {where}: Connection refused" in refused_here(where)


def test_an_address_that_is_something_else(refused_here: Callable[[str], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_as_a_web_server, args=(server,), daemon=True).start()
        where = f"127.0.0.1:{server.getsockname()[1]}"
        assert "what answers is not Ray" in refused_here(where)


def _answer_as_a_web_server(server: socket.socket) -> None:
    line, _ = server.accept()
    with line:
        line.recv(100)
        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_no_cluster_to_be_found(tmp_path: Path) -> None:
    if any("gcs_server" in line for line in command_lines().values()):
        pytest.skip("somebody else's Ray runs on this machine; --address auto would find it")
    line = refused(tmp_path, "--address", "auto", RAY_TMPDIR=str(tmp_path))
    assert "no Ray cluster was found" in line


def test_an_address_that_is_none(refused_here: Callable[[str], str]) -> None:
    assert "must be auto or HOST:PORT, but got 'here'" in refused_here("here")


def test_without_ray_it_says_what_to_install(tmp_path: Path) -> None:
    arguments = ["--engine", "ray", "--runs-dir", str(tmp_path)]
    code, errors = finish(Command(arguments, main="cluster.search_without_ray"))
    assert code == 2
    assert errors == (
        "error: --engine ray needs Ray Tune, which is not installed; pip install 'ray[tune]'\n"
    )


# ---- on a cluster


@pytest.fixture
def ray(cluster: Cluster, untrained: Path) -> list[str]:
    """Options of a search on the cluster."""
    return ["--engine", "ray", "--address", cluster.address, "--weights", str(untrained)]


def test_a_killed_driver_resumes_with_every_finished_trial(
    cluster: Cluster, ray: list[str], tmp_path: Path
) -> None:
    arguments = ["--name", "r", *ray]
    process = start(tmp_path, *arguments)
    enough = lambda run: sum(r.state != "running" for r in run.records) >= 2  # noqa: E731
    wait_until(tmp_path / "r", enough, process)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    before = [r for r in results.load(tmp_path / "r").records if r.state != "running"]
    assert len(before) >= 2
    code, errors = finish(start(tmp_path, *arguments, "--resume"))
    assert code == 0, errors
    run = results.load(tmp_path / "r")
    assert [r.number for r in run.records] == list(range(6))
    assert {r.state for r in run.records} <= {"complete", "stopped"}
    assert [run.records[r.number] for r in before] == before
    assert len(run.front) >= 1
    assert len(pd.read_csv(tmp_path / "r" / "trials.csv")) == 6
    log = (tmp_path / "r" / "log.txt").read_text()
    nodes = set(re.findall(r" rung 0 on (\S+) \(process \d+\): ", log))
    assert nodes
    assert nodes <= {cluster.head, "127.0.0.3"}
    assert f"policy {run.records[0].policy.to_json()}" in log


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_with_the_command_to_go_on(
    ray: list[str], tmp_path: Path, number: int, code: int, said: str
) -> None:
    process = start(tmp_path, "--name", "c", *ray, "--trials", "40")
    wait_until(tmp_path / "c", lambda run: any(r.state != "running" for r in run.records), process)
    process.send_group(number)
    ended_with, errors = finish(process)
    assert ended_with == code
    assert errors.splitlines()[-1].startswith(f"{said}; go on with: python search.py --resume")
    assert "Traceback" not in errors


def test_a_trial_that_asks_for_too_much(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ["--address", cluster.address, "--cpus-per-trial", "64"]
    assert "a trial takes 64 CPU and 0 GPU, but no node" in refused(tmp_path, *arguments)


@pytest.mark.usefixtures("ray_engine")
def test_another_python_than_the_cluster_has(cluster: Cluster, tmp_path: Path) -> None:
    """The cluster's own note of its versions, which every driver reads, tells of another one."""
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

    key, namespace = b"CLUSTER_METADATA", "cluster"
    noted = _internal_kv_get(key, namespace=namespace)
    other = noted.replace(sys.version.split()[0].encode(), b"3.9.1")
    assert other != noted
    try:
        _internal_kv_put(key, other, overwrite=True, namespace=namespace)
        line = refused(tmp_path, "--address", cluster.address)
    finally:
        _internal_kv_put(key, noted, overwrite=True, namespace=namespace)
    assert "must run the same Ray and Python, but the cluster has" in line
    assert "Python: 3.9.1" in line


def test_a_users_own_modules_travel_from_where_the_user_is(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Here processes are no forks: each has only what Python, Ray and the search bring there."""
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    pass\n"
        "def build(num_classes):\n"
        "    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        "    return Net(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3),\n"
        "               nn.BatchNorm2d(16), nn.ReLU(), pool, nn.Linear(16, num_classes))\n"
    )
    block = nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU()
    other = nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()
    untrained = nn.Sequential(*block, *other, nn.Flatten(), nn.Linear(16, 10))
    torch.save(untrained.state_dict(), tmp_path / "theirs.pt")
    options = ["--model", "theirs.nets:build", "--weights", "theirs.pt", "--trials", "2"]
    options += ["--train-images", "200", "--final-epochs", "1", "--final-seeds", "1"]
    options += ["--repeats", "0", "--name", "own", "--rungs", "1", "--lr", "0.01"]
    options += ["--engine", "ray", "--address", cluster.address, "--workers", "1"]
    environment = {**os.environ, **ENVIRONMENT}
    del environment["RAY_RUNTIME_ENV_HOOK"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "search.py"), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert {r.state for r in results.load(tmp_path / "runs" / "own").records} <= {
        "complete",
        "stopped",
    }
