"""The Ray engine: Ray Tune runs the trials on a cluster; the ledger is that of every engine."""

from __future__ import annotations

import os
import signal
import tempfile
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
from search.callables import attribute
from search.config import SearchConfig, TaskConfig
from search.engines import ray_cluster, ray_worker
from search.engines.ray_cluster import Demand
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, RungResult, TrainingJob, TrainingResult
from search.interrupt import ENDING, Terminated, handling, sigterm_raises
from search.policies.parameters import parameters
from search.study.ledger import Ledger
from search.study.peers import OpenStudy, Watch
from search.time_limit import NO_LIMIT, TimeLimit

T = TypeVar("T")

RESTARTS = 3
"""How often a trial, or a final training, is restarted after its worker or node died."""

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
    """The engine on the cluster that the config names, while the block lasts.

    Raises:
        UserError: nothing answers there, other versions run there, or a trial would not fit.
    """
    run = config.run
    with ray_cluster.connected(run.address, _own_modules(config.task)), sigterm_raises():
        demand = Demand(run.cpus_per_trial, _gpus(config))
        ray_cluster.check_room(demand)
        ray_cluster.check_nodes(demand, ray_cluster.other_versions, ray_cluster.versions())
        yield RayTune(demand, run.workers)


def _own_modules(task: TaskConfig) -> tuple[str, ...]:
    """The modules that hold the user's own model and data."""
    given = [task.model, task.task, task.loss, task.metric, task.train_loop]
    specs = [spec for spec in given if spec is not None]
    specs += [task.data] * (task.data.partition(":")[0] not in data.SOURCES)
    own = [spec for spec in specs if ":" in spec]
    for spec in own:
        attribute(spec)  # finds those of the working directory too, and refuses what is not there
    return tuple(spec.partition(":")[0] for spec in own)


def _gpus(config: SearchConfig) -> float:
    """GPUs of a trial; by default one if the cluster has any and the device may be one."""
    if config.run.gpus_per_trial is not None:
        return config.run.gpus_per_trial
    has_gpus = any(node["Resources"].get("GPU") for node in ray_cluster.nodes())
    return 1.0 if has_gpus and config.task.device != "cpu" else 0.0


class RayTune:
    """Runs trials on the Ray that this process is connected to; see ``search.engines.Engine``.

    A trial is one of Tune's trials, a rung one of its steps, and an actor is reused for the next
    trial. Optuna's study stays with the driver, which alone writes to it. The evaluator travels
    once, through the object store. A trial whose worker or node dies goes on elsewhere from the
    rung it had reached, and a long training from its checkpoint.

    Args:
        demand: what a trial takes of a node.
        most: trials at once; None for as many as the cluster holds, also after it has grown.
    """

    def __init__(self, demand: Demand, most: int | None = None) -> None:
        self._demand, self._most = demand, most
        self._sender = ray_worker.Sender()

    @property
    def at_once(self) -> int:
        """The number of trials that the cluster, as it is now, runs at the same time."""
        room = ray_cluster.check_room(self._demand)
        return room if self._most is None else min(room, self._most)

    @property
    def threads(self) -> int:
        return max(1, int(self._demand.cpus))

    def run(
        self,
        opened: OpenStudy,
        evaluator: Evaluator,
        trials: int,
        watch: Watch,
        limit: TimeLimit = NO_LIMIT,
    ) -> None:
        """As ``Engine.run``; refuses a node that cannot read the data."""
        driver = _Driver(Ledger(opened, evaluator, trials, watch, limit), evaluator)
        sent = self._sender.send(evaluator)
        with (
            tempfile.TemporaryDirectory() as folder,
            _environment(self.at_once),
            _ends_between_steps(driver),
        ):
            ray_cluster.check_nodes(self._demand, ray_worker.unreadable, sent)
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(
                        ray_worker.RungActor,
                        evaluator=sent,
                        threads=self.threads,
                        gpus=self._demand.gpus,
                    ),
                    {"cpu": self._demand.cpus, "gpu": self._demand.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=_Search(driver, opened.study, evaluator),
                    scheduler=_Rule(driver),
                    num_samples=-1,  # until the search algorithm has finished
                    max_concurrent_trials=self._most,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=folder,
                    failure_config=tune.FailureConfig(max_failures=RESTARTS),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    stop=driver,
                    verbose=0,
                ),
            ).fit()
        if driver.error is not None:
            raise driver.error

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        """As ``Engine.train``; each training is a Ray task."""
        if not jobs:
            return
        remote = ray.remote(
            num_cpus=self._demand.cpus, num_gpus=self._demand.gpus, max_retries=RESTARTS
        )(ray_worker.train_final)
        sent, threads, gpus = self._sender.send(evaluator), self.threads, self._demand.gpus
        running = {remote.remote(sent, job, threads, gpus): job for job in jobs}
        try:
            while running:
                (done,), _ = ray.wait(list(running))
                yield running.pop(done), _fetched(done)
        finally:
            for task in running:
                ray.cancel(task, force=True)


class _Driver(tune.Stopper):
    """The driver's side of Tune: the ledger, and the record of each of Tune's trials.

    Errors are kept for ``run`` to raise, as Tune would wrap them into its own, and stop everything.
    """

    def __init__(self, ledger: Ledger, evaluator: Evaluator) -> None:
        self._ledger, self._evaluator = ledger, evaluator
        self._again: list[TrialRecord] = []
        self._trials: dict[str, TuneTrial] = {}
        self.error: BaseException | None = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Nothing: Tune pickles its arguments for a restore that is never used here."""
        return object, ()

    def next(self, ask: Callable[[], Trial]) -> dict[str, Any] | None:
        """The configuration of Tune's next trial; None if there is none."""
        record = self._again.pop() if self._again else self._guarded(lambda: self._ledger.next(ask))
        return None if record is None else {"record": record.to_json()}

    def begun(self, trial: TuneTrial) -> None:
        self._trials[trial.trial_id] = trial

    def measured(self, trial: TuneTrial, result: RungResult, where: str) -> str:
        """Store the result of a rung; Tune's word for whether its trial goes on."""
        before = TrialRecord.from_json(trial.config["record"])
        log.measured(before, result, where)
        record = self._guarded(lambda: self._ledger.add(before, result))
        if record is None:
            return TrialScheduler.STOP
        trial.set_config({"record": record.to_json()})  # what a restart goes on from
        if not self._guarded(lambda: self._ledger.goes_on(record)):
            return TrialScheduler.STOP
        if next_rung(record) != result.rung + 1:  # further rungs were known already
            self._again.append(record)
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    def ended(self, trial_id: str, lost: bool) -> None:
        """Tune has ended the trial; ``lost`` if it gave it up after its restarts."""
        trial = self._trials.pop(trial_id)
        record = TrialRecord.from_json(trial.config["record"])
        if lost and record.state == "running":
            failure = _death_reason(_last_error(trial))
            result = RungResult(next_rung(record), 0.0, failure=failure)
            self._guarded(lambda: self._ledger.add(record, result))

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether an error ends the search now; actors are killed, as Tune would wait for them."""
        if self.error is None:
            return False
        for trial in self._trials.values():
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)
        return True

    def _guarded(self, action: Callable[[], T]) -> T | None:
        """What ``action`` returns; None after an error, which is kept."""
        if self.error is not None:
            return None
        try:
            return action()
        except BaseException as error:
            self.error = error
            return None


class _Search(OptunaSearch):
    """OptunaSearch on the run's study and sampler, with the ledger between it and Tune.

    The ledger tells the study the results: Tune knows neither stopped trials with two objectives
    nor trials that an earlier driver left.
    """

    def __init__(self, driver: _Driver, study: Study, evaluator: Evaluator) -> None:
        super().__init__(
            space=parameters(evaluator.space, evaluator.config.searched),
            metric=["accuracy", "flops"],
            mode=["max", "min"],
            sampler=study.sampler,
            study_name=study.study_name,
            storage=storage_of(study),
        )
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        return self._driver.next(lambda: self._ask(trial_id)) or Searcher.FINISHED

    def _ask(self, trial_id: str) -> Trial:
        super().suggest(trial_id)
        return take_asked(self, trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._driver.ended(trial_id, lost=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its storage."""


class _Rule(FIFOScheduler):
    """First come, first served; the ledger decides who is promoted from a rung."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        self._driver.begun(trial)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        measured: RungResult = result["result"]
        where = f"{result['node_ip']} (process {result['pid']})"
        return self._driver.measured(trial, measured, where)


def _fetched(done: ray.ObjectRef) -> TrainingResult:
    try:
        return ray.get(done)
    except RayError as error:
        return TrainingResult(0.0, failure=_death_reason(error))


def _last_error(trial: TuneTrial) -> Exception | None:
    with suppress(OSError, TypeError):  # no file, or no name of one
        return ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    return None


def _death_reason(error: Exception | None) -> Failure:
    if error is None or isinstance(error, RayActorError | WorkerCrashedError | NodeDiedError):
        cause = "its worker or node died (out of memory?)"
    else:
        cause = str(error).strip().splitlines()[-1]
    return Failure("worker died", f"given up after {RESTARTS} restarts: {cause}")


@contextmanager
def _ends_between_steps(driver: _Driver) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the search between two of Tune's steps; a second one at once."""
    before = {number: signal.getsignal(number) for number in ENDING}

    def heard(number: int, _frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        driver.error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()

    with handling(heard, *ENDING):
        yield


@contextmanager
def _environment(at_once: int) -> Iterator[None]:
    """Set Tune's environment variables while the block lasts.

    A quarter of ``at_once`` trials may wait for a worker. More would be proposed early, on fewer
    results; with one, Tune's own for samplers, a thousand workers take hours to start.
    """
    switches = _ENVIRONMENT | {"TUNE_MAX_PENDING_TRIALS_PG": str(max(1, at_once // 4))}
    before = {name: os.environ[name] for name in switches.keys() & os.environ.keys()}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name in switches:
            del os.environ[name]
        os.environ.update(before)
