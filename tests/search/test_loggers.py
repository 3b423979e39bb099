"""Experiment loggers: what they are told and when, what may go wrong, and what each one keeps."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import results
from results import Provenance
from search import Logger, SearchConfig, search
from search.loggers import LOGGERS, facts
from search.loggers.logger import BegunRun
from search.loggers.opening import loggers_of
from search.task.building import build_task
from search.task.task import Task
from spaces import UserError

OPTIONS: dict[str, Any] = {"rungs": (1,), "repeats": 0, "final_epochs": 1, "final_seeds": 1}
OPTIONS |= {"starts": ("l1", "repaired_damage"), "lr": 0.01, "gains": False}


class Told(Logger):
    """Keeps every event in ``events`` and what came with it in ``facts``."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.facts: dict[str, list[Any]] = {}

    def _note(self, event: str, *told: Any) -> None:
        self.events.append(event)
        self.facts.setdefault(event, []).append(told[0] if len(told) == 1 else told)

    def begin(self, run: BegunRun) -> None:
        self._note("begin", run)

    def rung(self, *told: Any) -> None:
        self._note("rung", *told)

    def trial(self, record: results.TrialRecord) -> None:
        self._note("trial", record)

    def training(self, record: results.TrainingRecord, number: int) -> None:
        self._note("training", number, record)

    def end(self, run: results.Run) -> None:
        assert (run.folder / "report.html").is_file()
        self._note("end", run)

    def close(self) -> None:
        self._note("close")


class Full(Told):
    """Raises at the second trial."""

    def trial(self, record: results.TrialRecord) -> None:
        super().trial(record)
        if self.events.count("trial") == 2:
            raise ValueError("full")


class Stopping(Logger):
    """Ctrl-C comes at a trial."""

    def trial(self, record: results.TrialRecord) -> None:  # noqa: ARG002
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def task(runs: Path) -> Task:
    return build_task(
        "digits_small", train_images=128, baseline_epochs=1, cache=runs / ".cache", device="cpu"
    )


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def full() -> Full:
    return Full()


@pytest.fixture(scope="module")
def run(task: Task, runs: Path, told: Told, full: Full) -> results.Run:
    where = {"runs_dir": str(runs), "name": "told"}
    with pytest.warns(UserWarning, match="logger Full failed in 'trial' with ValueError: full"):
        return search(task, budget=0.5, trials=4, loggers=[full, told], **where, **OPTIONS)


def test_a_logger_is_told_of_everything_once_and_in_order(run: results.Run, told: Told) -> None:
    assert told.events[0] == "begin"
    assert told.events[-2:] == ["end", "close"]
    assert [each.number for each in told.facts["trial"]] == [r.number for r in run.records]
    assert told.facts["trial"] == list(run.records)
    assert told.facts["training"] == list(enumerate(run.training_records, 1))
    rungs = [(record.number, result.rung) for record, result, _ in told.facts["rung"]]
    assert rungs == [(r.number, rung) for r in run.records for rung in range(r.rung + 1)]
    assert told.facts["end"] == [run]


def test_a_logger_knows_which_run_it_is(run: results.Run, told: Told) -> None:
    (begun,) = told.facts["begin"]
    assert begun.id == json.loads((run.folder / "config.json").read_text())["id"]
    assert (begun.name, begun.folder) == ("told", run.folder)
    assert begun.options["final_epochs"] == 1
    assert begun.options["budget"] == ["0.5"]
    assert "runs_dir" not in begun.options  # nor the database and its password
    assert begun.about.full_flops == run.provenance.full_flops


def test_one_that_raises_is_told_nothing_more_and_the_search_goes_on(
    run: results.Run, full: Full
) -> None:
    assert full.events.count("trial") == 2
    assert not {"training", "end", "close"} & {*full.events}
    log = (run.folder / "log.txt").read_text()
    assert log.count("the logger Full failed in 'trial' with ValueError: full") == 1
    assert 'raise ValueError("full")' in log
    assert len(run.records) == 4


def test_a_run_that_is_gone_on_with_is_the_same_to_a_logger(
    run: results.Run, task: Task, runs: Path, told: Told
) -> None:
    again = Told()
    whole = search(
        task, trials=5, loggers=[again], resume=True, name="told", runs_dir=str(runs), **OPTIONS
    )
    (first,), (second,) = told.facts["begin"], again.facts["begin"]
    assert second.id == first.id
    assert [record.number for record in again.facts["trial"]] == [4]
    begun, known = len(run.training_records), len(whole.training_records)
    assert [number for number, _ in again.facts.get("training", [])] == [
        *range(begun + 1, known + 1)
    ]


def test_one_that_is_cut_short_is_closed_without_an_end(task: Task, runs: Path) -> None:
    told = Told()
    with pytest.raises(KeyboardInterrupt):
        search(*(task, 0.5, 4, [told, Stopping()]), name="cut", runs_dir=str(runs), **OPTIONS)
    assert told.events[-2:] == ["trial", "close"]
    assert "end" not in told.events


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (("wandd",), "unknown logger 'wandd', did you mean 'wandb'?"),
        (("mlflow", "mlflow"), "--log must name each logger once, or be none, but got mlflow ml"),
        (("none", "wandb"), "--log must name each logger once, or be none, but got none wandb"),
    ],
)
def test_names_that_cannot_be_are_refused_at_once(log: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as refusal:
        SearchConfig.of(log=log)
    assert message in str(refusal.value)


def test_another_logger_makes_no_other_run() -> None:
    assert SearchConfig().differences(SearchConfig.of(log=("wandb", "my_package.logs:make"))) == []
    assert loggers_of(("none",)) == []


@pytest.mark.parametrize("name", LOGGERS)
def test_a_package_that_is_missing_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGERS, "_found", {})
    for module in (f"search.loggers.{name}", f"torch.utils.{name}"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError) as refusal:
        loggers_of([name])
    assert str(refusal.value) == (
        f"--log {name} needs the package {name}, which is not installed; pip install -e '.[{name}]'"
    )


def test_a_logger_of_ones_own_is_named_by_its_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_logs.py").write_text(
        "import search\n"
        "class Mine(search.Logger): pass\n"
        "def mine(): return Mine()\n"
        "def three(): return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "their_logs", raising=False)
    (mine,) = loggers_of(["their_logs:mine"])
    assert type(mine).__name__ == "Mine"
    with pytest.raises(UserError, match=r"must return a search\.Logger, but it returned int"):
        loggers_of(["their_logs:three"])
    with pytest.raises(UserError, match=r"must be objects of search\.Logger, but one is of dict"):
        loggers_of((), [{}])


def test_figures_that_were_not_measured_are_left_out(run: results.Run) -> None:
    (stopped, *_) = [r for r in run.records if not r.rung] or [run.records[0]]
    figures = facts.of_trial(stopped)
    assert ("val_accuracy" in figures) == bool(stopped.rung)
    assert figures["proxy/reconstructed"] == stopped.proxies["reconstructed"]
    options = {"budget": ["0.5", "0.3"], "lr": None, "eta": 2.0, "distill": False}
    assert facts.plain_options(options) == {
        "budget": "0.5 0.3",
        "lr": "",
        "eta": 2.0,
        "distill": False,
    }
    shipped = facts.of_run(run)
    assert shipped["ship/test_accuracy"] - shipped["ship/flops_fraction"] == pytest.approx(
        next(results.decision.decisions(run)).accuracy
        - next(results.decision.decisions(run)).final.flops_fraction
    )


Tell = Callable[..., None]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Tell a logger of a run in parts, as if it were gone on with: from which trial on."""

    def told(name: str, run: results.Run, start: int, below: str = "") -> None:
        (logger,) = loggers_of([name])
        folder = tmp_path / below
        folder.mkdir(exist_ok=True)
        options = {"budget": ["0.5"], "trials": len(run.records), "lr": None}
        logger.begin(BegunRun("c0ffee42", "told", folder, options, Provenance(device="cpu")))
        for record in run.records[start : start + 2]:
            logger.trial(record)
        if start:
            for number, record in enumerate(run.training_records, 1):
                logger.training(record, number)
            logger.end(run)
        logger.close()

    return told


def test_tensorboard_keeps_scalars_by_trial(run: results.Run, tell: Tell, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell("tensorboard", run, 0)
    tell("tensorboard", run, 2)
    kept = EventAccumulator(str(tmp_path / "tensorboard"))
    kept.Reload()
    flops = [(event.step, event.value) for event in kept.Scalars("trial/flops")]
    assert flops == [(r.number, r.flops) for r in run.records[:4]]
    trained = [r for r in run.records[:4] if r.rung]
    assert [event.step for event in kept.Scalars("trial/val_accuracy")] == [
        r.number for r in trained
    ]
    finals = [event.value for event in kept.Scalars("finals/test_accuracy")]
    tested = [r.test_accuracy for r in run.training_records if r.purpose == "finals"]
    assert finals == pytest.approx(tested)
    said = kept.Tensors("decision/text_summary")[0].tensor_proto.string_val[0].decode()
    assert said.startswith("At budget 0.5 ship ")


@pytest.mark.filterwarnings("ignore")
def test_mlflow_goes_on_with_its_run(
    run: results.Run, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        tell("mlflow", run, 0)
        client = mlflow.MlflowClient()
        (experiment,) = client.search_experiments(filter_string=f"name = '{facts.PROJECT}'")
        (cut,) = client.search_runs([experiment.experiment_id])
        assert cut.info.status == "KILLED"
        tell("mlflow", run, 2)
        (kept,) = client.search_runs([experiment.experiment_id])
        assert (kept.info.run_id, kept.info.status) == (cut.info.run_id, "FINISHED")
        assert kept.info.run_name == "told"
        assert kept.data.params["budget"] == "0.5"
        history = client.get_metric_history(kept.info.run_id, "trial/flops")
        assert [(m.step, m.value) for m in history] == [
            (r.number, r.flops) for r in run.records[:4]
        ]
        assert kept.data.metrics["ship/test_accuracy"] == facts.of_run(run)["ship/test_accuracy"]
        files = [artifact.path for artifact in client.list_artifacts(kept.info.run_id)]
        assert files == ["pareto.csv", "report.html", "trials.csv"]
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_offline(
    run: results.Run, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tell("wandb", run, 0, "a")  # apart: W&B names its folders by the second
    tell("wandb", run, 2, "b")
    wandb.teardown()  # its own process may write a file after ``finish`` has returned
    parts = [kept(file) for file in sorted(tmp_path.glob("*/wandb/offline-run-*/*.wandb"))]
    begun = [each.run for part in parts for each in part if each.WhichOneof("record_type") == "run"]
    assert [(each.run_id, each.project) for each in begun] == [("c0ffee42", facts.PROJECT)] * 2
    items = [each.history.item for part in parts for each in part]
    rows = [{"/".join(i.nested_key): json.loads(i.value_json) for i in row} for row in items if row]
    trials = [(row["trial/number"], row["trial/flops"]) for row in rows if "trial/number" in row]
    assert trials == [(r.number, r.flops) for r in run.records[:4]]
    assert rows[-1]["front/nrows"] == len(run.front)
    last = [each.summary.update for part in parts for each in part]
    summary = {item.key: json.loads(item.value_json) for update in last for item in update}
    assert summary["ship/test_accuracy"] == facts.of_run(run)["ship/test_accuracy"]
    assert summary["decision"].startswith("At budget 0.5 ship ")
    made = [each.artifact.name for part in parts for each in part]
    assert "report-c0ffee42" in made


def kept(file: Path) -> list[Any]:
    """The records of a file of W&B: LevelDB's log format, after seven bytes of its own."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:  # no head fits into the rest of the block
            at += 2**15 - at % 2**15
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts = (parts if kind in (3, 4) else b"") + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            found.append(Record.FromString(parts))
    return found
