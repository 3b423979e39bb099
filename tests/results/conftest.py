"""A small study that looks like a real one: two budgets, failures, finals over three seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results import FinalRecord, TrialRecord
from spaces import Policy

FULL_FLOPS = 1_000_000
CHANNELS = {"stem": 16, "layer1.conv1": 16, "layer2.conv1": 32}


def make_record(number: int, accuracy: tuple[float, ...] = (), **changes: Any) -> TrialRecord:
    """A trial near half the flops; ``changes`` overrides any field."""
    flops = changes.pop("flops", 500_000 - number)
    fields: dict[str, Any] = {
        "number": number,
        "policy": Policy({"stem": 8, "layer1.conv1": 2 + number, "layer2.conv1": 16}),
        "origin": "tpe",
        "flops": flops,
        "flops_fraction": flops / FULL_FLOPS,
        "params": 20_000 + number,
        "criterion": "second_order",
        "proxies": {"adaptive_bn": 0.5 + 0.01 * number},
        "accuracy": accuracy,
        "epochs": (1, 3)[: len(accuracy)],
        "seed": 100 + number,
        "seconds": 1.5,
        "state": "complete",
    }
    return TrialRecord(**fields | changes)


def make_final(name: str, role: Any, policy: Policy | None, **changes: Any) -> FinalRecord:
    """A final at budget 0.5 over three seeds; ``changes`` overrides any field."""
    fields: dict[str, Any] = {
        "name": name,
        "role": role,
        "budget": "0.5",
        "number": None,
        "policy": policy,
        "flops": 500_000,
        "flops_fraction": 0.5,
        "params": 20_000,
        "criterion": "" if policy is None else "second_order",
        "seeds": (0, 1, 2),
        "val_accuracy": (0.90, 0.91, 0.92),
        "test_accuracy": (0.900, 0.902, 0.904),
        "epochs": 8,
    }
    return FinalRecord(**fields | changes)


@pytest.fixture
def records() -> list[TrialRecord]:
    """Nine trials: uniform first, six complete, one stopped, one failed, one running."""
    complete = [make_record(i, (0.80 + 0.01 * i, 0.85 + 0.01 * i)) for i in range(1, 6)]
    uniform = make_record(0, (0.82, 0.86), origin="uniform")
    stopped = make_record(6, (0.70,), state="stopped", reason="dominated at rung 1")
    failed = make_record(7, state="failed", reason="training diverged at step 12")
    running = make_record(8, (0.81,), state="running")
    return [uniform, *complete, stopped, failed, running]


@pytest.fixture
def finals(records: list[TrialRecord]) -> list[FinalRecord]:
    """The baseline, uniform widths and trial 5, which is better by 1.0 ± 0.25 points or so."""
    baseline = make_final(
        "baseline", "baseline", None, budget=None, flops=FULL_FLOPS, flops_fraction=1.0
    )
    uniform = make_final("uniform@0.5", "uniform", records[0].policy, number=0)
    searched = make_final(
        "trial 5",
        "searched",
        records[5].policy,
        number=5,
        test_accuracy=(0.910, 0.913, 0.913),
        best=True,
    )
    return [baseline, uniform, searched]


@pytest.fixture
def provenance() -> dict[str, Any]:
    """Every key that the report knows."""
    return {
        "run": "digits-1",
        "task": "small residual CNN on digits",
        "config": {"budget": ["0.5"], "train": {"mode": "finetune"}},
        "versions": {"torch": "2.15.0"},
        "commit": "abc1234",
        "device": "cpu",
        "baseline": {
            "flops": FULL_FLOPS,
            "params": 40_000,
            "val_accuracy": 0.95,
            "test_accuracy": 0.94,
        },
        "budgets": {"0.5": 500_000},
        "full_flops": FULL_FLOPS,
        "groups": [{"name": name, "channels": n} for name, n in CHANNELS.items()],
        "frozen": [{"name": "head", "channels": 10, "reason": "the network's output"}],
        "started": "2026-01-01 12:00",
        "seconds": 95.0,
        "test_reads": 1,
        "checks": ["FLOPs of 9 policies agree with fvcore."],
    }


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    """`make_record`, for tests that need other trials."""
    return make_record


@pytest.fixture
def final() -> Callable[..., FinalRecord]:
    """`make_final`, for tests that need other finals."""
    return make_final
