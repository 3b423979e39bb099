"""A folder that has lost a part of its run: nothing is measured again without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import prune_ops
import results
from search import search
from search.cli import main
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.folder import resolve_folder
from search.study.storage import open_study
from spaces import UserError

OPTIONS = {
    **{"trials": 3, "starts": ("l1",), "proxies": ("predicted_damage",), "seed": 1},
    **{"rank_by": "predicted_damage", "rungs": (1,), "final_epochs": 1, "final_seeds": 2},
    **{"lr": 0.01, "repeats": 0, "sampler": "random", "train_images": 128, "gains": False},
}
STILL = (
    "tables alone do not make a study, but the results so far are still in trials.csv, finals.csv, "
    "report.html and models/ there\n"
)
ANOTHER = f"put a copy of it there, or search again under another --name; {STILL}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, untrained: Path) -> Path:
    """A finished run."""
    runs = tmp_path_factory.mktemp("whole")
    options = OPTIONS | {"weights": str(untrained), "runs_dir": str(runs), "name": "mine"}
    return search(budget=0.5, **options).folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that may be broken."""
    return Path(shutil.copytree(whole, tmp_path / "mine"))


@pytest.fixture
def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The only line of going on with the run, which leaves all as it is."""

    def line(*arguments: str) -> str:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        go_on = arguments or ("--resume",)
        capsys.readouterr()
        assert main([*go_on, "--name", "mine", "--runs-dir", str(folder.parent)]) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        changed = {path.name for path in before if before[path] != after.get(path)}
        assert changed <= {"study.db", "study.db-shm", "study.db-wal"}
        assert all((folder / name).is_file() for name in ("trials.csv", "report.html"))
        return said.replace(str(folder), "mine")

    return line


def rewrite(folder: Path, **changes: object) -> None:
    """Change what ``config.json`` says."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_study_that_is_missing_empty_or_cut_off_is_refused(
    folder: Path, refusal: Callable[..., str]
) -> None:
    study = folder / "study.db"
    content = study.read_bytes()
    study.unlink()
    assert refusal() == (
        "error: study.db must have the trials of mine, but is missing, while trials.csv has 3 "
        f"trials; {ANOTHER}"
    )
    assert not study.exists()
    study.write_bytes(b"")
    assert refusal() == f"error: mine/study.db must be an Optuna study, but it is empty; {ANOTHER}"
    with pytest.raises(UserError, match=r"but it is empty; .* the results so far are still in tri"):
        results.load(folder)
    for size in (len(content) // 2, 100):
        study.write_bytes(content[:size])
        said = refusal()
        assert said.startswith("error: mine/study.db must be an Optuna study, but reading it gave:")
        assert said.endswith(ANOTHER)
    study.write_bytes(content)
    assert main(["--resume", "--name", "mine", "--runs-dir", str(folder.parent)]) == 0


def test_the_log_and_the_models_tell_of_a_run_without_tables(
    folder: Path, refusal: Callable[..., str]
) -> None:
    (folder / "study.db").unlink()
    (folder / "trials.csv").write_text("")
    assert "is missing, while log.txt has 3 trials; put a copy of it there" in refusal()
    (folder / "log.txt").unlink()
    assert "is missing, while the folder has results; put a copy of it there" in refusal()


def test_a_run_that_measured_nothing_yet_just_begins(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in ("config.json", "models"):
            path.unlink() if path.is_file() else shutil.rmtree(path)
    shutil.rmtree(folder / "models")
    assert main(["--resume", "--name", "mine", "--runs-dir", str(folder.parent)]) == 0
    assert len(results.load(folder).records) == 3


def test_a_run_that_was_killed_as_its_study_was_made_goes_on(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its config has options that the study says nothing of yet."""
    options = OPTIONS | {"weights": str(untrained), "runs_dir": str(tmp_path), "name": "mine"}
    folder = resolve_folder({"budget": 0.5, **options})
    with folder.locked(), open_study(folder.path / "study.db"):
        pass
    assert main(["--resume", "--name", "mine", "--runs-dir", str(tmp_path)]) == 0
    assert "going on with the run" in capsys.readouterr().err
    assert len(results.load(folder.path).records) == OPTIONS["trials"]


def test_the_study_of_another_run_is_refused(folder: Path, refusal: Callable[..., str]) -> None:
    rewrite(folder, id="0123abcd")
    assert refusal().startswith(
        "error: the study of mine must be its own, but is that of another run; put a copy"
    )


def test_a_study_with_fewer_trials_than_the_tables_is_refused_until_they_are_moved(
    folder: Path, refusal: Callable[..., str]
) -> None:
    for name, more in (("trials", {"number": 3}), ("trainings", {})):
        table = pd.read_csv(folder / f"{name}.csv")
        longer = pd.concat([table, table.tail(1).assign(**more)])
        longer.to_csv(folder / f"{name}.csv", index=False)
    trainings = len(longer)
    assert refusal() == (
        "error: the study of mine must have what its tables have, but lacks 1 of 4 trials in "
        f"trials.csv and 1 of {trainings} trainings in trainings.csv: it is an older copy, or of "
        "another run; put the right one back, or move these tables away to go on with what it has\n"
    )
    table = pd.read_csv(folder / "trials.csv").head(3)
    table.assign(seed=table.seed + 1).to_csv(folder / "trials.csv", index=False)
    assert "lacks 3 of 3 trials in trials.csv" in refusal()
    for name in ("trials", "trainings"):
        (folder / f"{name}.csv").unlink()
    assert main(["--resume", "--name", "mine", "--runs-dir", str(folder.parent)]) == 0
    assert len(pd.read_csv(folder / "trials.csv")) == 3
    assert len(pd.read_csv(folder / "trainings.csv")) == trainings - 1


@pytest.mark.parametrize("content", [None, "", "{", "{}", "[]", '{"config": 3}'])
def test_a_config_that_is_missing_or_damaged_is_refused(
    folder: Path, refusal: Callable[..., str], content: str | None
) -> None:
    config = folder / "config.json"
    config.unlink()
    if content is not None:
        config.write_text(content)
    must = "must be what a run wrote, but it is not" if content is not None else "that is missing"
    for given in ((), ("--seed", "1")):
        said = refusal(*given)
        assert must in said
        assert said.endswith(
            "; put a copy of it there, or choose another --name; `python search.py report "
            "mine` still reads its results\n"
        )
    assert main(["report", str(folder)]) == 0


def test_a_config_that_was_edited_is_refused(folder: Path, refusal: Callable[..., str]) -> None:
    config = json.loads((folder / "config.json").read_text())["config"]
    config["policies"]["seed"] = 2
    rewrite(folder, config=config)
    assert refusal() == (
        "error: mine/config.json must be as its study has it, but differs: --seed 1 there, 2 here; "
        "put the right one back, or choose another --name\n"
    )


def test_a_network_that_is_gone_or_damaged_is_trained_again_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, trained = results.load(folder), list[TrainingJob]()
    train_final = Evaluator.train_final

    def counted(self: Evaluator, job: TrainingJob) -> TrainingResult:
        trained.append(job)
        return train_final(self, job)

    monkeypatch.setattr(Evaluator, "train_final", counted)
    named = {"best", "unpruned"}  # a second name, and what is not trained
    saved = sorted(path for path in (folder / "models").iterdir() if path.name not in named)
    assert len(saved) == len(before.finals) - 1
    policies = {prune_ops.load_policy(path) for path in saved}
    (saved[0] / "model.safetensors").write_bytes(b"")
    for path in saved[1:]:
        shutil.rmtree(path)
    go_on = ["--resume", "--name", "mine", "--runs-dir", str(folder.parent)]
    assert main(go_on) == 0
    said = capsys.readouterr().err
    assert f" in {folder} must hold what was trained, but " in said
    assert all(f"models/{path.name}" in said for path in saved)
    assert [job.seed for job in trained] == [1] * len(policies)
    assert all(prune_ops.load_policy(path) for path in saved)
    assert results.load(folder).finals == before.finals
    trained.clear()
    assert main(go_on) == 0
    assert not trained


def test_a_database_that_lost_the_study_is_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run is told from its folder alone: the database was made anew."""
    folder = Path(shutil.copytree(whole, tmp_path / "mine"))
    (folder / "study.db").unlink()
    url = f"sqlite:///{tmp_path}/shared.db"
    config = json.loads((folder / "config.json").read_text())["config"]
    config["run"]["storage"] = url
    rewrite(folder, config=config)
    assert main(["--resume", "--name", "mine", "--runs-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: the study in {url} must have the trials of {folder}, but is missing, while "
        "trials.csv has 3 trials; put a copy of it there"
    )
