"""The Ray engine on a real cluster of two nodes: separate processes on loopback addresses."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import loops
import optuna
import pytest
from evaluators import DieOnce, ToyEvaluator, own_job, toy
from waiting import wait_for

import prune_ops
import results
import spaces
from results import load_records
from results.record import Candidate
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.study.peers import OpenStudy
from search.study.storage import open_study
from search.training.checkpoints import InFolder
from spaces import Budget, Policy, Space, UserError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[tune]'")

import ray
from cluster import Cluster

from search.engines import ray_cluster
from search.engines.ray_cluster import Demand
from search.engines.ray_tune import RayTune

ROOT = Path(__file__).parents[2]
HALF = Budget.parse("0.5")
OTHER = "127.0.0.3"


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
        wait_for(lambda: len(list(self.meeting.iterdir())) == 2)
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
        wait_for(lambda: len(list(self.meeting.iterdir())) == self.many)
        return Failure(str(seed), f"GPU {os.environ['CUDA_VISIBLE_DEVICES']}")


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
    wait_for(lambda: engine.at_once == 2)
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
        return RungResult(rung, 0.0, proxies={"reconstructed": float(kept["epoch"])})


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
    assert load_records(study)[0].proxies == {"reconstructed": 7.0}


def _enough(record: results.TrialRecord) -> None:
    if record.proxies:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class BusyUntilItDies:
    """One node begins a rung and never ends it; the others go on when it has begun."""

    begun: Path

    def __call__(self, _policy: Policy, _rung: int, _seed: int) -> Failure | None:
        if ray.util.get_node_ip_address() == "127.0.0.4":
            self.begun.touch()
            wait_for(lambda: False)
        wait_for(self.begun.exists)
        return None


def test_a_node_that_dies_takes_no_trial_with_it(
    cluster: Cluster, engine: RayTune, study: optuna.Study, space: Space, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    cluster.add("127.0.0.4", cpus=2)

    def kill_once_it_works(_record: results.TrialRecord) -> None:
        if begun.exists():
            cluster.kill("127.0.0.4")

    evaluator = toy(space, trouble=BusyUntilItDies(begun))
    engine.run(OpenStudy(study), evaluator, 12, kill_once_it_works)
    records = load_records(study)
    assert [record.number for record in records] == list(range(12))
    assert {record.state for record in records} <= {"complete", "stopped"}
    assert begun.exists()
    wait_for(lambda: engine.at_once == 2)


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


def test_a_loop_of_the_users_own_trains_on_the_nodes(engine: RayTune) -> None:
    task = loops.task()
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, (), ["l1"])
    config = SearchConfig.of(criterion="l1", surgery="plain", final_epochs=2)
    evaluator = Evaluator(task=task, space=space, scores=scores, config=config)
    job = own_job(evaluator, space.uniform(HALF), seed=3)
    ((_, there),) = engine.train(evaluator, [job])
    here = evaluator.train_final(job)
    assert there.failure is None
    assert there.val_accuracy == pytest.approx(here.val_accuracy, rel=1e-4)
