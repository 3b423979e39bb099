"""A run reads its data, builds its network and discovers its space once; a kill loses no table."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import results
import search
import spaces
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult

MODULE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

CALLS = []


def build():
    CALLS.append("build")
    stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def splits(seed):
    CALLS.append(f"splits with seed {seed}")
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.arange(96) % 4
    images = torch.randn(96, 1, 6, 6, generator=drawn) + labels.view(-1, 1, 1, 1)
    return [TensorDataset(images[k : k + 32], labels[k : k + 32]) for k in (0, 32, 64)]
"""
SMALL = {
    **{"trials": 3, "starts": ("l1",), "proxies": ("predicted_damage",)},
    **{"rank_by": "predicted_damage", "rungs": (1,), "final_epochs": 1, "final_seeds": 1},
    "lr": 0.01,
}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user's module was asked for, and how often a space was discovered."""
    (tmp_path / "door.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "door", raising=False)
    import door  # type: ignore[import-not-found]

    found: list[str] = door.CALLS
    discover = spaces.discover

    def counted(*args: object, **kwargs: object) -> spaces.Space:
        found.append("discover")
        return discover(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(spaces, "discover", counted)
    return found


def test_data_and_network_are_read_once_with_the_runs_seed(
    calls: list[str], tmp_path: Path
) -> None:
    where = {"runs_dir": str(tmp_path), "name": "run", "seed": 7}
    search.search(budget=0.6, model="door:build", data="door:splits", repeats=1, **where, **SMALL)
    assert calls == ["splits with seed 7", "build", "discover"]
    calls.clear()
    search.compare(tmp_path / "run", seeds=1, arms=("scratch-e",), base_epochs=1, front=1)
    assert calls == ["splits with seed 7", "build", "discover"]


def test_a_run_cut_short_keeps_every_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_final = Evaluator.train_final

    def second_is_cut(self: Evaluator, job: TrainingJob) -> TrainingResult:
        if job.tested:
            raise KeyboardInterrupt
        return train_final(self, job)

    monkeypatch.setattr(Evaluator, "train_final", second_is_cut)
    where = {"runs_dir": str(tmp_path), "name": "run", "train_images": 128}
    options = SMALL | {"starts": ("l1", "iso_damage"), "trials": 6, "explore": 1.0}
    with pytest.raises(KeyboardInterrupt):
        search.search(budget=0.6, repeats=3, **where, **options)
    folder = tmp_path / "run"
    run = results.load(folder)
    assert len(run.repeats) == 3
    assert len(pd.read_csv(folder / "trainings.csv")) == 3
    assert len(pd.read_csv(folder / "sensitivity.csv")) == len(run.sensitivity) > 0
    trust = pd.read_csv(folder / "trust.csv")
    pd.testing.assert_series_equal(trust.ceiling_kendall, run.trust.ceiling_kendall)
    assert trust.ceiling_kendall.notna().any()
