"""The Ray engine on a real cluster of two nodes: separate processes on loopback addresses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import pytest
from commands import Command
from evaluators import DieOnce, ToyEvaluator, own_job, toy
from waiting import PATIENCE, wait_until

import results
from results import load_records
from results.record import Candidate
from search.cli import USER_ERROR, main
from search.evaluation.jobs import Failure, RungResult
from search.policies.sampler import BudgetSampler, Plan, make
from search.study.peers import OpenStudy
from search.study.storage import open_study
from search.training.checkpoints import InFolder
from spaces import Budget, Policy, Space, UserError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[tune]'")

import ray
from cluster import ENVIRONMENT, Cluster, command_lines

from search.engines import ray_cluster
from search.engines.ray_cluster import Demand
from search.engines.ray_tune import RayTune

ROOT = Path(__file__).parents[2]
HALF = Budget.parse("0.5")
OTHER = "127.0.0.3"


def start(runs: Path, *arguments: str, **more: str) -> Command:
    options = ["--trials", "6", "--rungs", "1", "--train-images", "400", "--repeats", "2"]
    options += ["--final-epochs", "1", "--final-seeds", "1"]
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
    if any("gcs_server" in line for line in command_lines()):
        pytest.skip("somebody else's Ray runs on this machine; --address auto would find it")
    line = refused(tmp_path, "--address", "auto", RAY_TMPDIR=str(tmp_path))
    assert "no Ray cluster was found" in line


def test_an_address_that_is_none(refused_here: Callable[[str], str]) -> None:
    assert "must be auto or HOST:PORT, but got 'here'" in refused_here("here")


def test_without_ray_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['ray'] = None; from search.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "--engine", "ray", "--runs-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: --engine ray needs Ray Tune, which is not installed; pip install 'ray[tune]'\n"
    )


# ---- in this process, with trials that cost nothing


@pytest.fixture
def engine(ray_engine: RayTune) -> RayTune:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return ray_engine


@pytest.fixture
def study(space: Space, tmp_path: Path) -> Iterator[optuna.Study]:
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [HALF], seed=0)
    with open_study(tmp_path / "study.db", sampler) as opened:
        yield opened.study


@dataclass(frozen=True)
class Together:
    """Fails once two nodes are at work, and says on which node and from which files."""

    meeting: Path

    def __call__(self, _policy: Policy, _rung: int, seed: int) -> Failure | None:
        import search

        node = ray.util.get_node_ip_address()
        (self.meeting / node).touch()
        for _ in range(1200):
            if len(list(self.meeting.iterdir())) == 2:
                break
            time.sleep(0.1)
        return Failure(str(seed), f"{node} {search.__file__}")


def test_both_nodes_work_with_the_code_that_travelled(
    engine: RayTune, study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    engine.run(OpenStudy(study), toy(space, trouble=Together(meeting)), 4, lambda _: None)
    reasons = [record.reason.split() for record in load_records(study)]
    assert {node for node, _ in reasons} == {"127.0.0.2", OTHER}
    assert {"py_modules_files" in file for _, file in reasons} == {True}, reasons


@dataclass(frozen=True)
class Sharing:
    """Waits until so many are at work at once; says which GPU Ray has given it."""

    meeting: Path
    many: int

    def __call__(self, _policy: Policy, _rung: int, seed: int) -> Failure | None:
        (self.meeting / str(os.getpid())).touch()
        for _ in range(600):
            if len(list(self.meeting.iterdir())) == self.many:
                return Failure(str(seed), f"GPU {os.environ['CUDA_VISIBLE_DEVICES']}")
            time.sleep(0.1)
        return Failure(str(seed), "alone")


def test_trials_share_a_gpu(
    cluster: Cluster, engine: RayTune, study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    cluster.add("127.0.0.5", cpus=4, gpus=1)
    try:
        assert engine.at_once == 6
        thirds = RayTune(Demand(cpus=1, gpus=0.33))
        assert thirds.at_once == 3
        meeting = tmp_path / "meeting"
        meeting.mkdir()
        thirds.run(OpenStudy(study), toy(space, trouble=Sharing(meeting, 3)), 3, lambda _: None)
    finally:
        cluster.kill("127.0.0.5")
    assert [record.reason for record in load_records(study)] == ["GPU 0"] * 3


def test_a_trial_whose_worker_is_killed_goes_on_from_its_rung(
    engine: RayTune, study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    rungs = tmp_path / "rungs"
    evaluator = toy(space, trouble=Noting(rungs, DieOnce(tmp_path / "died")))
    engine.run(OpenStudy(study), evaluator, 6, lambda _: None)
    assert (tmp_path / "died").exists()
    assert {record.state for record in load_records(study)} <= {"complete", "stopped"}
    noted = rungs.read_text().split()
    twice = {line for line in noted if noted.count(line) > 1}
    assert len(twice) == 1  # the rung that was cut short
    assert twice.pop().startswith("1:")


@dataclass(frozen=True)
class Noting:
    """Writes down every rung that is begun."""

    file: Path
    then: DieOnce

    def __call__(self, policy: Policy, rung: int, seed: int) -> Failure | None:
        with open(self.file, "a") as file:
            file.write(f"{rung}:{seed}\n")
        return self.then(policy, rung, seed)


@dataclass(frozen=True)
class Deadly:
    """Kills whoever measures that seed."""

    seed: int

    def __call__(self, _policy: Policy, _rung: int, seed: int) -> Failure | None:
        if seed == self.seed:
            os.kill(os.getpid(), signal.SIGKILL)
        return None


def test_a_trial_that_kills_every_worker_fails_and_the_others_go_on(
    engine: RayTune, study: optuna.Study, space: Space
) -> None:
    began: list[int] = []
    engine.run(OpenStudy(study), toy(space), 1, lambda record: began.append(record.seed))
    jobs = [own_job(toy(space), space.uniform(HALF), seed) for seed in (0, 1, 2)]
    answers = dict(engine.train(toy(space, trouble=Deadly(1)), jobs))
    for job in jobs:
        assert (answers[job].failure is not None) == (job.seed == 1)
    failure = answers[jobs[1]].failure
    assert failure is not None
    assert failure.reason.startswith("given up after 3 restarts: its worker or node died")


@dataclass(frozen=True, kw_only=True)
class Training(ToyEvaluator):
    """A rung that keeps a checkpoint, is killed, and finds it again, maybe on another node."""

    def evaluate_rung(self, _candidate: Candidate, rung: int, seed: int) -> RungResult:
        kept = self.checkpoints.load(f"{seed}-{rung}")
        if kept is None:
            self.checkpoints.save(f"{seed}-{rung}", {"epoch": 7})
            os.kill(os.getpid(), signal.SIGKILL)
        self.checkpoints.drop(f"{seed}-{rung}")
        return RungResult(rung, 0.0, proxies={"adaptive_bn": float(kept["epoch"])})


def test_a_trial_in_progress_goes_on_from_its_checkpoint(
    engine: RayTune, study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    plain = toy(space)
    evaluator = Training(
        task=None,  # type: ignore[arg-type]
        space=space,
        scores={},
        config=plain.config,
        checkpoints=InFolder(tmp_path / "kept"),
    )
    with pytest.raises(KeyboardInterrupt):
        engine.run(OpenStudy(study), evaluator, 1, _enough)
    assert load_records(study)[0].proxies == {"adaptive_bn": 7.0}


def _enough(record: results.TrialRecord) -> None:
    if record.proxies:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Slow:
    """Takes a while at every rung, and notes on which nodes."""

    notes: Path

    def __call__(self, _policy: Policy, _rung: int, _seed: int) -> Failure | None:
        (self.notes / ray.util.get_node_ip_address()).touch()
        time.sleep(0.2)
        return None


def test_a_node_that_dies_takes_no_trial_with_it(
    cluster: Cluster, engine: RayTune, study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    cluster.add("127.0.0.4", cpus=2)

    def kill_once_it_works(_record: results.TrialRecord) -> None:
        if (tmp_path / "127.0.0.4").exists():
            cluster.kill("127.0.0.4")

    engine.run(OpenStudy(study), toy(space, trouble=Slow(tmp_path)), 12, kill_once_it_works)
    records = load_records(study)
    assert [record.number for record in records] == list(range(12))
    assert {record.state for record in records} <= {"complete", "stopped"}
    assert (tmp_path / "127.0.0.4").exists()
    assert engine.at_once == 2


@pytest.mark.usefixtures("engine")
def test_more_than_any_node_has_is_refused_before_waiting() -> None:
    for demand in (Demand(cpus=2, gpus=0), Demand(cpus=1, gpus=0.25)):
        with pytest.raises(UserError, match="no node of the cluster has that: the most on one"):
            ray_cluster.check_room(demand)
    assert ray_cluster.check_room(Demand(cpus=0.5, gpus=0)) == 4


@dataclass(frozen=True, kw_only=True)
class Unreadable(ToyEvaluator):
    """Data that is on one node only."""

    def check_readable(self) -> None:
        if ray.util.get_node_ip_address() == OTHER:
            raise FileNotFoundError("no such file: /data/train/cat/1.png")


def test_data_that_is_not_on_a_node_is_told_before_trials_fail(
    engine: RayTune, study: optuna.Study, space: Space
) -> None:
    evaluator = Unreadable(
        task=None,  # type: ignore[arg-type]
        space=space,
        scores={},
        config=toy(space).config,
    )
    with pytest.raises(UserError, match=f"on {OTHER}: no such file: /data/train/cat/1.png; the"):
        engine.run(OpenStudy(study), evaluator, 4, lambda _: None)
    assert load_records(study) == []


@pytest.mark.usefixtures("engine")
def test_other_versions_on_a_node_are_told() -> None:
    here = {**ray_cluster.versions(), "torch": "1.0"}
    with pytest.raises(UserError, match=r"on 127\.0\.0\.\d: torch .* there, 1\.0 here; install"):
        ray_cluster.check_nodes(Demand(1, 0), ray_cluster.other_versions, here)


@pytest.mark.parametrize(
    ("demand", "resources", "fitting"),
    [
        (Demand(1, 0), {"CPU": 4.0}, 4),
        (Demand(2, 0.25), {"CPU": 16.0, "GPU": 1.0}, 4),
        (Demand(8, 0.25), {"CPU": 16.0, "GPU": 1.0}, 2),
        (Demand(1, 0.1), {"CPU": 16.0, "GPU": 1.0}, 10),
        (Demand(0, 0.5), {"CPU": 16.0, "GPU": 3.0}, 6),
        (Demand(0, 0), {"CPU": 3.0}, 3),
        (Demand(1, 1), {"CPU": 4.0}, 0),
    ],
)
def test_how_many_trials_a_node_holds(
    demand: Demand, resources: dict[str, float], fitting: int
) -> None:
    assert demand.fitting(resources) == fitting


# ---- the command line


def test_a_killed_driver_resumes_with_every_finished_trial(
    cluster: Cluster, tmp_path: Path
) -> None:
    arguments = ["--name", "r", "--engine", "ray", "--address", cluster.address]
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
    assert nodes <= {cluster.head, OTHER}
    assert f"policy {run.records[0].policy.to_json()}" in log


def test_ctrl_c_ends_with_the_command_to_go_on(cluster: Cluster, tmp_path: Path) -> None:
    process = start(
        tmp_path, "--name", "c", "--engine", "ray", "--address", cluster.address, "--trials", "40"
    )
    wait_until(tmp_path / "c", lambda run: any(r.state != "running" for r in run.records), process)
    process.send_group(signal.SIGINT)
    code, errors = finish(process)
    assert code == 130
    assert errors.splitlines()[-1].startswith("interrupted; go on with: python search.py --resume")
    assert "Traceback" not in errors


def test_a_trial_that_asks_for_too_much(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ["--address", cluster.address, "--cpus-per-trial", "64"]
    assert "a trial takes 64 CPU and 0 GPU, but no node" in refused(tmp_path, *arguments)


@pytest.mark.usefixtures("engine")
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
    options = ["--model", "theirs.nets:build", "--trials", "3", "--train-images", "300"]
    options += ["--final-epochs", "1", "--final-seeds", "1", "--repeats", "0", "--name", "own"]
    options += ["--rungs", "1"]
    options += ["--engine", "ray", "--address", cluster.address]
    done = subprocess.run(
        [sys.executable, str(ROOT / "search.py"), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert {r.state for r in results.load(tmp_path / "runs" / "own").records} <= {
        "complete",
        "stopped",
    }
