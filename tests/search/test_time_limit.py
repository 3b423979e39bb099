"""``--max-hours``: when it is reached, and what becomes of a search that it cuts short."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import results
from search import compare, search, time_limit
from search.cli import main
from search.folder import finished, resolve_folder
from search.study.open import comparable, search_ended
from search.task.building import build_task
from search.time_limit import NO_LIMIT, TimeLimit, no_trials
from spaces import UserError

OPTIONS: dict[str, Any] = {
    **{"trials": 5, "starts": ("l1",), "proxies": ("predicted_damage",), "seed": 1, "repeats": 2},
    **{"rank_by": "predicted_damage", "rungs": (1,), "final_epochs": 1, "final_seeds": 1},
    **{"sampler": "random", "train_images": 400, "name": "mine", "explore": 1.0, "lr": 0.01},
}
NONE_LEFT = 1e-6


def test_it_is_reached_once_what_follows_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    now, follows = [100.0], [600.0]
    monkeypatch.setattr(time_limit.time, "perf_counter", lambda: now[0])
    limit = TimeLimit.of(hours=0.5).reserving(lambda: follows[0])
    now[0] += 1199.0
    assert (limit.reached, limit.spent, limit.ends_at) == (False, False, 1900.0)
    now[0] += 1.0
    assert (limit.reached, limit.spent) == (True, False)
    follows[0] = 599.0
    assert not limit.reached
    now[0] += 600.0
    assert limit.spent
    assert not NO_LIMIT.reached
    assert TimeLimit.of(None).seconds == math.inf


def test_a_limit_that_cannot_be_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit.time, "perf_counter", lambda: 100.0)
    limit = replace(TimeLimit.of(hours=0.01), began=90.0)  # 36 s, of which 10 have passed
    said = "--max-hours leaves no time for trials before the finals: nothing is tried but uniform"
    assert no_trials(26.0, limit) == f"{said} widths"
    assert no_trials(50.0, limit) == f"{said} widths; that takes about 50 s, but 26 s are left"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = Path(tmp_path_factory.mktemp("weights"))
    small = {"train_images": 400, "baseline_epochs": 4, "device": "cpu"}
    task = build_task("digits_small", "digits", cache=where, **small)  # type: ignore[arg-type]
    torch.save(task.model.state_dict(), where / "digits.pt")
    return where / "digits.pt"


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A run at two budgets that had no time for anything."""
    where = {"weights": str(trained), "runs_dir": str(tmp_path_factory.mktemp("cut"))}
    return search(budget=[0.7, 0.5], max_hours=NONE_LEFT, **OPTIONS, **where).folder


@pytest.fixture
def where(cut: Path, tmp_path: Path) -> dict[str, str]:
    """Where a copy of it is."""
    shutil.copytree(cut, tmp_path / "mine")
    return {"name": "mine", "runs_dir": str(tmp_path)}


def test_uniform_widths_are_tried_and_the_finals_trained_however_late_it_is(cut: Path) -> None:
    run = results.load(cut)
    assert [(r.origin, r.state) for r in run.records] == [("uniform", "complete")] * 2
    assert {final.budget for final in run.finals} == {None, "0.7", "0.5"}
    assert all(final.test_accuracy for final in run.finals)
    said = "cut short by --max-hours 1e-06 after 2 of 5 trials; --resume goes on with the rest"
    assert run.provenance.warnings == (f"the search was {said}",)
    assert said in (cut / "report.md").read_text()
    assert (cut / "report.html").is_file()
    assert not finished(cut)


def test_resumed_it_does_the_rest_and_says_that_its_results_were_known(
    where: dict[str, str],
) -> None:
    before = resolve_folder({"resume": True, **where})
    assert before.config.run.max_hours is None
    assert (search_ended(before), comparable(before)) == (False, True)
    again = search(resume=True, max_hours=NONE_LEFT, **where)
    assert len(again.records) == 2
    assert not any("resumed" in check for check in again.provenance.checks)
    run = search(resume=True, **where)
    assert [record.state for record in run.records] == ["complete"] * 5
    assert run.provenance.warnings == ()
    assert any("was cut short and resumed when" in check for check in run.provenance.checks)
    assert finished(run.folder)
    whole = resolve_folder({"resume": True, **where})
    assert (search_ended(whole), comparable(whole)) == (True, True)


def test_what_was_found_can_be_compared_before_the_rest_is_tried(where: dict[str, str]) -> None:
    folder = Path(where["runs_dir"]) / "mine"
    run = compare(folder, seeds=1, arms=["finetune"], rates=[0.01], finetune_epochs=1)
    assert {arm.structure for arm in run.compared.arms} == {"trial 0", "trial 1", "uniform"}
    with pytest.raises(UserError, match=r"limits a search, but .* has been searched"):
        compare(folder, max_hours=1.0)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(
    hours: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--max-hours", hours, "--runs-dir", str(tmp_path)]) == 2
    assert "--max-hours must be above 0" in capsys.readouterr().err
