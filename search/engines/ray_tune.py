"""The Ray engine: Ray Tune runs the trials on a cluster, under the same ledger as everywhere."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import ray
from optuna.study import Study
from optuna.trial import Trial
from ray import tune
from ray.exceptions import NodeDiedError, RayActorError, RayError, WorkerCrashedError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from results.optuna_private import storage_of, take_asked
from results.record import TrialRecord
from results.rules import next_rung
from search import data, log
from search.callables import resolve
from search.config import SearchConfig, TaskConfig
from search.engines import ray_cluster, ray_worker
from search.engines.ray_cluster import Demand
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult, TrainingJob, TrainingResult
from search.policies.sampler import parameters
from search.study.ledger import Ledger
from search.study.peers import OpenStudy

T = TypeVar("T")

RESTARTS = 3
"""So often a trial, or a final training, is taken up elsewhere after its worker or node died."""

_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a folder with three log files a trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # this engine has its own
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # proxies at rung 0, accuracy above
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # the study knows everything already
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "1000000",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@contextmanager
def ray_tune(config: SearchConfig) -> Iterator[RayTune]:
    """The engine on the cluster that the config names, as long as the block lasts.

    Raises:
        UserError: nobody answers there, other versions run there, or a trial would not fit.
    """
    run = config.run
    with ray_cluster.connected(run.address, _own_modules(config.task)):
        demand = Demand(run.cpus_per_trial, _gpus(config))
        ray_cluster.check_room(demand)
        ray_cluster.check_nodes(demand, ray_cluster.other_versions, ray_cluster.versions())
        yield RayTune(demand, run.workers)


def _own_modules(task: TaskConfig) -> tuple[str, ...]:
    """The modules that hold the user's own model and data.

    Raises:
        UserError: there is no such module, or no such function in it.
    """
    specs = [task.model] + [task.data] * (task.data.partition(":")[0] not in data.SOURCES)
    own = [spec for spec in specs if ":" in spec]
    for spec in own:
        resolve(spec)  # finds those of the working directory too
    return tuple(spec.partition(":")[0] for spec in own)


def _gpus(config: SearchConfig) -> float:
    """Where the user does not say, one if the cluster has any and the device may be one."""
    if config.run.gpus_per_trial is not None:
        return config.run.gpus_per_trial
    there = any(node["Resources"].get("GPU") for node in ray_cluster.nodes())
    return 1.0 if there and config.task.device != "cpu" else 0.0


class RayTune:
    """Runs trials on the Ray that this process is connected to; see ``search.engines.Engine``.

    >>> with ray_tune(config) as engine:
    ...     engine.run(opened, evaluator, 48, watch)

    A trial is one of Tune's trials, a rung one of its steps, and actors are used again for the
    next trial. Optuna's study stays here with the driver, which alone writes to it. The climb
    travels once, through the object store. A trial whose worker or node dies starts again on
    another from the rung it had reached, and a long training from its checkpoint.

    Args:
        demand: what a trial takes of a node.
        most: trials at once; None for as many as the cluster holds, whatever it grows to.
    """

    def __init__(self, demand: Demand, most: int | None = None) -> None:
        self._demand, self._most = demand, most

    @property
    def at_once(self) -> int:
        """Trials that the cluster, as it is now, runs at the same time."""
        room = ray_cluster.check_room(self._demand)
        return room if self._most is None else min(room, self._most)

    @property
    def threads(self) -> int:
        """One a core."""
        return max(1, int(self._demand.cpus))

    def run(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Callable[[TrialRecord], None],
    ) -> None:
        """As ``Engine.run``.

        Raises:
            SearchStopped: three trials in a row failed in the same way.
            UserError: some node cannot read the data.
        """
        desk = _Desk(Ledger(opened, evaluator, trials, watch), evaluator)
        with (
            ray_worker.sent(evaluator) as sent,
            tempfile.TemporaryDirectory() as folder,
            _environment(self.at_once),
            _ctrl_c(desk),
        ):
            ray_cluster.check_nodes(self._demand, ray_worker.unreadable, sent)
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(
                        ray_worker.Climber,
                        evaluator=sent,
                        threads=self.threads,
                        gpus=self._demand.gpus,
                    ),
                    {"cpu": self._demand.cpus, "gpu": self._demand.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=_Search(desk, opened.study, evaluator),
                    scheduler=_Rule(desk),
                    num_samples=-1,  # until the search says that it has finished
                    max_concurrent_trials=self._most,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=folder,
                    failure_config=tune.FailureConfig(max_failures=RESTARTS),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    stop=_Stop(desk),
                    verbose=0,
                ),
            ).fit()
        if desk.error is not None:
            raise desk.error

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """As ``Engine.train``; each training is a task of its own."""
        if not jobs:
            return
        task = ray.remote(
            num_cpus=self._demand.cpus, num_gpus=self._demand.gpus, max_retries=RESTARTS
        )(ray_worker.train_final)
        with ray_worker.sent(evaluator) as sent:
            out = {task.remote(sent, job, self.threads, self._demand.gpus): job for job in jobs}
            try:
                while out:
                    (done,), _ = ray.wait(list(out))
                    yield out.pop(done), _fetched(done)
            finally:
                for left in out:
                    ray.cancel(left, force=True)


class _Desk:
    """The driver's side of Tune: the ledger, and what each of Tune's trials stands for.

    What goes wrong here is kept for ``run`` to raise: Tune would wrap it into its own errors.
    """

    def __init__(self, ledger: Ledger, evaluator: Evaluator) -> None:
        self._ledger, self._evaluator = ledger, evaluator
        self._again: list[TrialRecord] = []
        self._trials: dict[str, TuneTrial] = {}
        self.error: BaseException | None = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Tune pickles all it is given, to restore it; here nothing is restored from that."""
        return object, ()

    def next(self, ask: Callable[[], Trial]) -> dict[str, Any] | None:
        """The configuration of Tune's next trial; None if there is nothing more to begin."""
        record = self._again.pop() if self._again else self._guarded(lambda: self._ledger.next(ask))
        return None if record is None else {"record": record.to_json()}

    def begun(self, trial: TuneTrial) -> None:
        """Tune has taken the trial up."""
        self._trials[trial.trial_id] = trial

    def measured(self, trial: TuneTrial, result: RungResult, where: str) -> str:
        """Store what a rung gave; whether Tune's trial goes on."""
        before = TrialRecord.from_json(trial.config["record"])
        log.measured(before, result, where)
        record = self._guarded(lambda: self._ledger.add(before, result))
        if record is None:
            return TrialScheduler.STOP
        trial.set_config({"record": record.to_json()})  # from there it goes on if it is restarted
        if record.state != "running":
            return TrialScheduler.STOP
        if next_rung(record) != result.rung + 1:  # some rungs were known already
            self._again.append(record)
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def ended(self, trial_id: str, lost: bool) -> None:
        """Tune is done with the trial; ``lost`` if it has given it up."""
        trial = self._trials.pop(trial_id)
        record = TrialRecord.from_json(trial.config["record"])
        if lost and record.state == "running":
            failure = _obituary(_last_error(trial))
            result = RungResult(next_rung(record), 0.0, failure=failure)
            self._guarded(lambda: self._ledger.add(record, result))

    def over(self) -> bool:
        """Whether the search ends now, with the error. Tune would wait for what is at work."""
        if self.error is None:
            return False
        for trial in self._trials.values():
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)
        return True

    def _guarded(self, what: Callable[[], T]) -> T | None:
        if self.error is not None:
            return None
        try:
            return what()
        except BaseException as error:
            self.error = error
            return None


class _Search(OptunaSearch):
    """OptunaSearch with the ledger between it and Tune.

    It asks the run's study with the run's sampler. The ledger tells the study, since Tune knows
    neither stopped trials with two objectives nor trials that an earlier driver left.
    """

    def __init__(self, desk: _Desk, study: Study, evaluator: Evaluator) -> None:
        super().__init__(
            space=parameters(evaluator.space, evaluator.config.searched),
            metric=["accuracy", "flops"],
            mode=["max", "min"],
            sampler=study.sampler,
            study_name=study.study_name,
            storage=storage_of(study),
        )
        self._desk = desk

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        return self._desk.next(lambda: self._asked(trial_id)) or Searcher.FINISHED

    def _asked(self, trial_id: str) -> Trial:
        super().suggest(trial_id)
        return take_asked(self, trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._desk.ended(trial_id, lost=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its storage."""


class _Rule(FIFOScheduler):
    """First come, first served; who climbs on from a rung is the ledger's to say."""

    def __init__(self, desk: _Desk) -> None:
        super().__init__()
        self._desk = desk

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        self._desk.begun(trial)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        measured: RungResult = result["result"]
        where = f"{result['node_ip']} (process {result['pid']})"
        return self._desk.measured(trial, measured, where)


class _Stop(tune.Stopper):
    """Stops everything once the desk has an error to raise."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._desk.over()


def _fetched(done: ray.ObjectRef) -> TrainingResult:
    try:
        result: TrainingResult = ray.get(done)
    except RayError as error:
        return TrainingResult(0.0, failure=_obituary(error))
    return result


def _last_error(trial: TuneTrial) -> Exception | None:
    with suppress(OSError, TypeError):  # there is no such file, or no name of one
        error: Exception = ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
        return error
    return None


def _obituary(error: Exception | None) -> Failure:
    if error is None or isinstance(error, RayActorError | WorkerCrashedError | NodeDiedError):
        cause = "its worker or node died (out of memory?)"
    else:
        cause = str(error).strip().splitlines()[-1]
    return Failure("worker died", f"given up after {RESTARTS} restarts: {cause}")


@contextmanager
def _ctrl_c(desk: _Desk) -> Iterator[None]:
    """Ctrl-C ends the search between two of Tune's steps; a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say so
        return

    def heard(number: int, _frame: object) -> None:
        signal.signal(number, before)
        desk.error = KeyboardInterrupt()

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _environment(at_once: int) -> Iterator[None]:
    """Tune's switches, which are environment variables, set while it runs.

    So many trials wait for a worker: proposed early, they know less. With one alone, as Tune has
    it for samplers, workers would start one after another, which takes hours for a thousand.
    """
    switches = _ENVIRONMENT | {"TUNE_MAX_PENDING_TRIALS_PG": str(max(1, at_once // 4))}
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
