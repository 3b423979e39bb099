"""The trainings of benchmarks: none is repeated, and every side has the better learning rate."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from torch import nn

from search import build_task
from search.task.task import Task
from spaces import Space, copied

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RATES = [0.03, 0.01]


@pytest.fixture
def training_rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("training_rows")


def test_the_first_seed_chooses_the_rate_and_no_training_is_repeated(
    training_rows: ModuleType, tmp_path: Path
) -> None:
    pruned = []

    def whole(task: Task, _space: Space, share: float) -> nn.Module:
        pruned.append(share)
        return copied(task.model)

    def bench() -> ModuleType:
        names = dict.fromkeys(("a", "a" + training_rows.DISTILLED), whole)
        task = build_task("digits_small", "digits", train_images=64)
        return training_rows.Trainings(task, "digits", names, tmp_path, RATES, [5, 6, 7])

    wanted = [(1.0, "a", 1), (1.0, "a" + training_rows.DISTILLED, 1)]
    rows = pd.DataFrame(bench().carry_out(wanted[:1]))
    screened = rows[rows.seed == 5]
    assert [*screened.rate] == RATES
    best = screened.sort_values("rate").set_index("rate").test.idxmax()
    assert [*rows[rows.seed != 5].seed] == [6, 7]
    assert {*rows[rows.seed != 5].rate} == {best}
    assert [row["contender"] for row in bench().carry_out(wanted)] == [wanted[1][1]] * 4
    assert pruned == [1.0, 1.0]
    assert [*bench().table().contender] == [name for _, name, _ in wanted]


def test_a_row_of_the_table_has_all_seeds_at_the_better_rate(training_rows: ModuleType) -> None:
    of = {"images": 9, "epochs": 1, "share": 0.5, "precision": "float32", "flops": 0.4}
    accuracies = {(0.01, 0): 0.9, (0.01, 1): 0.8, (0.03, 0): 0.5}
    rows = [
        of | {"contender": "a", "rate": rate, "seed": seed, "test": test}
        for (rate, seed), test in accuracies.items()
    ]
    rows += [row | {"contender": "no second seed"} for row in (rows[0], rows[2])]
    rows += [row | {"contender": "one rate"} for row in rows[:2]]
    (found,) = training_rows.table(pd.DataFrame(rows), RATES, [0, 1]).to_dict("records")
    assert found == of | {
        "contender": "a",
        "rate": 0.01,
        "seed 0": 0.9,
        "seed 1": 0.8,
        "mean": pytest.approx(0.85),
        "first at 0.01": 0.9,
        "first at 0.03": 0.5,
    }


def test_a_distilled_step_takes_a_forward_pass_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    distillation = import_module("distillation")
    assert distillation.distilled_cost(1 / 3) == pytest.approx(2)
    assert [distillation.longer(share) for share in (0.5, 0.3, 0.15)] == [2, 2, 3]
