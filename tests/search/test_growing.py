"""A run that is extended: more of everything, and nothing is measured twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import pytest
import torch

import results
from results import Run, opening
from results.record import Candidate
from results.rules import next_rung
from search import search
from search.cli import main
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult, TrainingJob, TrainingResult
from search.folder import resolve_folder
from search.policies.parameters import budget_of
from search.study.extent import end, ended, extensions
from search.study.open import search_ended
from search.task.building import build_task
from spaces import Budget, UserError

OPTIONS = {
    **{"trials": 4, "starts": ("l1",), "proxies": ("predicted_damage",), "seed": 1},
    **{"rank_by": "predicted_damage", "rungs": (1,), "final_epochs": 1, "final_seeds": 1},
    **{"repeats": 2, "sampler": "random", "train_images": 400, "name": "mine", "explore": 1.0},
}

Where = dict[str, str]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Counter[Hashable]:
    """How often each rung of a candidate was measured, and each network trained to the end."""
    counted: Counter[Hashable] = Counter()
    evaluate_rung, train_final = Evaluator.evaluate_rung, Evaluator.train_final

    def rung_counted(self: Evaluator, candidate: Candidate, rung: int, seed: int) -> RungResult:
        if seed:  # the forecast times one of its own, with seed 0
            counted["rung", candidate, rung, seed] += 1
        return evaluate_rung(self, candidate, rung, seed)

    def training_counted(self: Evaluator, job: TrainingJob) -> TrainingResult:
        criterion = job.candidate.criterion or self.config.reference
        counted["training", job.candidate.policy, criterion, job.spec, job.seed] += 1
        return train_final(self, job)

    monkeypatch.setattr(Evaluator, "evaluate_rung", rung_counted)
    monkeypatch.setattr(Evaluator, "train_final", training_counted)
    return counted


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that was trained a little, so that policies differ."""
    where = Path(tmp_path_factory.mktemp("weights"))
    small = {"train_images": 400, "baseline_epochs": 4, "device": "cpu"}
    task = build_task("digits_small", "digits", cache=where, **small)  # type: ignore[arg-type]
    torch.save(task.model.state_dict(), where / "digits.pt")
    return where / "digits.pt"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A finished run of four trials."""
    where = {"weights": str(trained), "runs_dir": str(tmp_path_factory.mktemp("begun"))}
    return search(budget=0.5, **OPTIONS, **where).folder


@pytest.fixture
def where(begun: Path, tmp_path: Path) -> Where:
    """Where a copy of it is that may be extended."""
    shutil.copytree(begun, tmp_path / "mine")
    return {"name": "mine", "runs_dir": str(tmp_path)}


def known_of(run: Run) -> Counter[Hashable]:
    """What a run has measured, as `measured` counts it."""
    rungs = [
        ("rung", record.candidate, rung, record.seed)
        for record in run.records
        for rung in range(next_rung(record))
    ]
    trainings = [
        ("training", one.candidate.policy, one.candidate.criterion, one.spec, one.seed)
        for one in run.training_records
    ]
    return Counter([*rungs, *trainings])


def seeds(run: Run) -> set[tuple[int, ...]]:
    return {final.seeds for final in run.finals[1:]}


def test_a_finished_run_grows_and_nothing_is_measured_twice(
    where: Where, measured: Counter[Hashable]
) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    before = results.load(folder)
    report = (folder / "report.html").read_text()
    measured.update(known_of(before))
    more = search(resume=True, trials=7, **where)
    assert more.records[:4] == before.records
    assert len(more.records) == 7
    assert {r.number for r in before.repeats} <= {r.number for r in more.repeats}
    assert (folder / "finished").is_file()
    assert (folder / "report.html").read_text() != report
    known = set(measured)
    again = search(resume=True, final_seeds=2, **where)
    assert again.records == more.records
    assert (seeds(more), seeds(again)) == ({(1,)}, {(1, 2)})
    trained = measured.keys() - known
    assert {what[-1] for what in trained if isinstance(what, tuple)} == {2}
    wider = search(resume=True, budget=0.3, **where)
    assert wider.records[:7] == more.records
    assert wider.provenance.settings.trials == len(wider.records) == 14
    assert list(wider.provenance.budgets) == ["0.5", "0.3"]
    limit = wider.provenance.budgets["0.3"]
    assert all(record.flops <= limit for record in wider.records[7:])
    assert {final.budget for final in wider.finals[1:]} == {"0.5", "0.3"}
    assert [v.budget for v in results.verdicts(wider.finals)] == ["0.5", "0.3"]
    longer = search(resume=True, final_epochs=2, **where)
    assert longer.records == wider.records
    assert {final.epochs for final in longer.finals[1:]} == {2}
    assert {point.serves for point in longer.swept if point.chosen} == {1, 2}
    assert set(measured.values()) == {1}
    assert measured == known_of(longer)
    assert len({record.val_accuracy for record in longer.records}) > 5
    checks = longer.provenance.checks
    assert any(line.startswith("the run was begun with 4 trials and extended") for line in checks)
    assert any("test accuracies of its finals were known" in line for line in checks)
    config = json.loads((folder / "config.json").read_text())["config"]
    assert SearchConfig.from_dict(config).training.final_epochs == 2
    assert config["run"]["resume"] is False
    total = measured.total()
    assert search(resume=True, **where).finals == longer.finals
    assert measured.total() == total


def test_a_run_in_a_database_grows_too(
    tmp_path: Path, trained: Path, measured: Counter[Hashable]
) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    where = {"name": "mine", "runs_dir": str(tmp_path), "storage": url}
    small = {**OPTIONS, "lr": 0.01, "trials": 3, "weights": str(trained)}
    first = search(budget=0.5, **(small | where))
    more = search(resume=True, trials=5, final_seeds=2, **where)
    assert more.records[:3] == first.records
    assert len(more.records) == 5
    assert (seeds(first), seeds(more)) == ({(1,)}, {(1, 2)})
    assert set(measured.values()) == {1}
    assert measured == known_of(more)


def test_what_is_measured_beside_the_search_grows_too(
    where: Where, measured: Counter[Hashable]
) -> None:
    """More repeats, other ways to compress one after the other, and the gain steps."""
    before = results.load(Path(where["runs_dir"]) / "mine")
    measured.update(known_of(before))
    assert (len(before.repeats), before.compressed, len(before.gain_steps)) == (2, (), 3)
    again = search(resume=True, repeats=4, compression_baselines=["ternary"], **where)
    assert {r.number for r in before.repeats} < {r.number for r in again.repeats}
    assert len(again.repeats) == 4
    assert {c.way for c in again.compressed} == {"unpruned", "channels", "ternary"}
    further = search(resume=True, compression_baselines=["magnitude"], **where)
    ways = {c.way for c in further.compressed}
    assert ways == {"unpruned", "channels", "ternary", "magnitude"}
    assert resolve_folder({**where, "resume": True}).config.training.compression_baselines == (
        "ternary",
        "magnitude",
    )
    assert further.records == before.records
    assert set(measured.values()) == {1}
    assert measured == known_of(further)
    said = "the run was begun with 4 trials and extended"
    assert said in further.provenance.checks  # its trials are as they would be anyway
    total = measured.total()
    assert search(resume=True, compression_baselines=["ternary"], repeats=4, **where).finals
    assert measured.total() == total


def test_gain_steps_may_be_trained_later(
    tmp_path: Path, trained: Path, measured: Counter[Hashable]
) -> None:
    where = {"name": "mine", "runs_dir": str(tmp_path)}
    small = {**OPTIONS, "lr": 0.01, "gains": False, "weights": str(trained)}
    first = search(budget=0.5, **(small | where))
    assert first.gain_steps == ()
    again = search(resume=True, gains=True, **where)
    assert len(again.gain_steps) == 3
    assert set(measured.values()) == {1}
    assert measured == known_of(again)
    with pytest.raises(UserError, match="differs: --gains True there, False here"):
        search(resume=True, gains=False, **where)


def test_an_extension_that_is_cut_short_is_gone_on_with(
    where: Where, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    again = ["--resume", "--name", "mine", "--runs-dir", where["runs_dir"]]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    evaluate_rung = Evaluator.evaluate_rung

    def interrupted_in_a_trial(
        self: Evaluator, candidate: Candidate, rung: int, seed: int
    ) -> RungResult:
        if seed:  # not of the forecast
            raise KeyboardInterrupt
        return evaluate_rung(self, candidate, rung, seed)

    with monkeypatch.context() as patched:
        patched.setattr("search.run.session", interrupted)
        assert main([*again, "--trials", "6"]) == 130
        said = capsys.readouterr().err.splitlines()
        going_on = f"going on with the run in {folder}"
        assert said[1] == f"{going_on} with --trials 6: 4 of 6 trials are done"
        command = f"python search.py --resume --name mine --trials 6 --runs-dir {folder.parent}"
        assert said[-1] == f"interrupted; go on with: {command}"
        assert (folder / "finished").is_file()
        patched.undo()
        patched.setattr(Evaluator, "evaluate_rung", interrupted_in_a_trial)
        assert main([*again, "--trials", "6"]) == 130
        command = f"python search.py --resume --name mine --runs-dir {folder.parent}"
        assert capsys.readouterr().err.splitlines()[-1] == f"interrupted; go on with: {command}"
    assert not (folder / "finished").exists()
    assert not search_ended(resolve_folder({**where, "resume": True}))
    assert main(again) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[1] == f"{going_on}: 4 of 6 trials are done"
    assert len(results.load(folder).records) == 6
    assert (folder / "finished").is_file()


def test_the_same_command_says_that_it_goes_on(
    begun: Path, where: Where, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    (folder / "finished").unlink()
    config = SearchConfig.from_dict(json.loads((begun / "config.json").read_text())["config"])
    words = config.having(**where).command.split()[2:]
    assert main([*words, "--name", "mine", "--runs-dir", where["runs_dir"]]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[1] == f"going on with the run in {folder}: 4 of 4 trials are done"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trials": 3}, "differs: --trials 4 there, 3 here; leave these out"),
        ({"repeats": 1}, "differs: --repeats 2 there, 1 here; leave these out"),
        ({"gains": False}, "differs: --gains True there, False here; leave these out"),
        ({"final_epochs": 1, "seed": 2}, "differs: --seed 1 there, 2 here; leave these out"),
        ({"trials": 9, "model": "resnet20"}, "--model digits_small there, resnet20 here; leave"),
        ({"budget": 0.3, "trials": 4}, "must rise above 4 with a further --budget, .* give 8, or"),
    ],
)
def test_what_a_run_may_not_change_is_refused(where: Where, given: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        search(resume=True, **where, **given)
    assert "\n" not in str(refused.value)


def test_fewer_seeds_than_there_are_finals_of_are_refused(
    where: Where, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run may leave their number to the data, so its config does not tell."""
    path = Path(where["runs_dir"]) / "mine" / "config.json"
    about = json.loads(path.read_text())
    about["config"]["training"]["final_seeds"] = None
    path.write_text(json.dumps(about))
    with opening.open_study(path.with_name("study.db")) as study:
        attributes = study.user_attrs
        kept = json.loads(attributes["provenance"])
        kept["config"]["training"]["final_seeds"] = None
        finals = [json.loads(text) for text in attributes["finals"]]
        for final in finals[1:]:
            final["seeds"] = [1, 2]
        study.set_user_attr("provenance", json.dumps(kept))
        study.set_user_attr("finals", [json.dumps(final) for final in finals])
    again = ["--resume", "--name", "mine", "--runs-dir", where["runs_dir"], "--final-seeds", "1"]
    assert main(again) == 2
    assert "--final-seeds must be at least the 2 that " in capsys.readouterr().err


def test_without_resume_the_way_to_extend_is_said(where: Where, trained: Path) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    options = OPTIONS | where | {"weights": str(trained)}
    with pytest.raises(UserError, match="extend it with --resume and more --trials, say, or"):
        resolve_folder({**options, "trials": 6})
    (folder / "finished").unlink()
    with pytest.raises(UserError, match="4 there, 6 here; add --resume to extend it, or choose"):
        resolve_folder({**options, "trials": 6})


def test_a_comparison_takes_a_run_as_it_is(
    where: Where, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    assert main(["compare", str(folder), "--trials", "9"]) == 2
    assert capsys.readouterr().err == (
        "error: RUN is compared as it is, but got --trials 9; leave that out, or extend it first "
        f"with: python search.py --resume --name mine --trials 9 --runs-dir {folder.parent}\n"
    )


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ((), "ababababa"),
        (((4, 1),), "aaaabbbba"),
        (((0, 1),), "ababababa"),
        (((2, 1), (4, 2)), "aabbababa"),
        (((4, 2),), "ababababa"),
    ],
)
def test_a_further_budget_has_all_turns_until_it_has_as_many(
    turns: tuple[tuple[int, int], ...], expected: str
) -> None:
    budgets = {Budget.parse(0.5): "a", Budget.parse(0.3): "b"}
    assert "".join(budgets[budget_of(n, [*budgets], turns)] for n in range(9)) == expected


def test_an_end_covers_what_is_no_more_than_it(where: Where) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    begun = resolve_folder({**where, "resume": True}).config
    asked: list[Callable[[SearchConfig], SearchConfig]] = [
        lambda config: config.having(trials=5),
        lambda config: config.having(budget=("0.5", "0.3")),
        lambda config: config.having(final_epochs=2),
        lambda config: config.having(final_seeds=2),
        lambda config: config.having(repeats=9),
        lambda config: config.having(compression_baselines=("ternary",)),
    ]
    with opening.open_study(folder / "study.db") as study:
        assert extensions(study) == ()
        assert ended(study, begun)
        assert not any(ended(study, grown(begun)) for grown in asked)
        for grown in asked:
            begun = grown(begun)
        end(study, begun)
        assert all(ended(study, config) for config in (begun, begun.having(trials=4)))
        study.set_user_attr("ended", True)
        assert ended(study, begun)  # of a version that could not extend runs
