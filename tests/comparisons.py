"""Makers of comparisons: trainings of chosen accuracy, with the accounting of a real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from results import Arm, ArmRecord, Comparison, SweepPoint
from spaces import Policy

FULL_FLOPS, IMAGES, BASE_EPOCHS, TUNING_EPOCHS = 1_000_000, 1000, 20, 5
UNPRUNED = 3 * FULL_FLOPS * IMAGES * BASE_EPOCHS
EPOCHS: dict[Arm, int] = {
    "finetune": TUNING_EPOCHS,
    "finetune-small": TUNING_EPOCHS,
    "random-channels": TUNING_EPOCHS,
    "scratch-e": BASE_EPOCHS,
    "scratch-b": 2 * BASE_EPOCHS,
    "scratch-b+": 2 * BASE_EPOCHS + TUNING_EPOCHS,
}
SIX = tuple(EPOCHS)
"""The arms that the project began with; its table may have more."""
RATES: dict[Arm, float] = {"finetune": 0.03, "finetune-small": 1e-3, "random-channels": 0.03}
POLICIES = {
    "trial 12": Policy({"stem": 6, "layer1": 20}),
    "trial 7": Policy({"stem": 5, "layer1": 21}),
    "uniform": Policy({"stem": 8, "layer1": 16}),
    "l1": Policy({"stem": 8, "layer1": 16}),
    "thinet": Policy({"stem": 16, "layer1": 10}),
    "slimming": Policy({"stem": 4, "layer1": 22}),
}
CRITERIA = {"l1": "l1", "thinet": "thinet", "slimming": "slimming"}


def make_arm(structure: str, arm: Arm, seed: int, accuracy: float, **changes: Any) -> ArmRecord:
    """One training at half the flops; ``accuracy`` is on the test split."""
    inherited = arm in ("finetune", "finetune-small", "random-channels")
    criterion = "random" if arm == "random-channels" else CRITERIA.get(structure, "second_order")
    trial = structure.startswith("trial")
    epochs = changes.get("epochs", EPOCHS[arm])
    values: dict[str, Any] = {
        "budget": "0.5",
        "structure": structure,
        "kind": "searched" if trial else "discovered" if structure == "slimming" else "predefined",
        "best": structure == "trial 12",
        "number": int(structure.split()[1]) if trial else None,
        "policy": POLICIES[structure],
        "flops": FULL_FLOPS // 2,
        "flops_fraction": 0.5,
        "params": 20_000,
        "arm": arm,
        "criterion": criterion if inherited else "",
        "lr": RATES.get(arm, 0.1),
        "epochs": epochs,
        "seed": seed,
        "val_accuracy": accuracy + 0.01,
        "test_accuracy": accuracy,
        "training_flops": 3 * FULL_FLOPS // 2 * IMAGES * epochs,
        "inherited_flops": UNPRUNED if inherited else 0,
        "seconds": 1.5,
    }
    return ArmRecord(**values | changes)


def make_comparison(
    accuracies: Mapping[tuple[str, Arm], Sequence[float]], **changes: Any
) -> Comparison:
    """(structure, arm) to test accuracies of seeds 0, 1, ...; ``nan`` is a training that failed."""
    budget = {"budget": changes.pop("budget", "0.5")}
    records = [
        make_arm(structure, arm, seed, value, **budget, reason="" if value == value else "diverged")
        for (structure, arm), values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    values: dict[str, Any] = {
        "options": {"seeds": 3, "interval": "t"},
        "arms": tuple(records),
        "complete": True,
    }
    return Comparison(**values | changes)


def full_comparison(
    structures: Sequence[str] = ("trial 12", "uniform"), seeds: int = 3
) -> Comparison:
    """Each of `SIX`; what inherited weights, searched widths and chosen channels bring differs."""
    bonus: dict[Arm, float] = {
        "finetune": 0.010,
        "finetune-small": -0.030,
        "random-channels": 0.008,
        "scratch-e": 0.000,
        "scratch-b": 0.006,
        "scratch-b+": 0.009,
    }
    noise = np.random.default_rng(0).normal(scale=0.002, size=(len(structures), len(SIX), seeds))
    accuracies = {
        (structure, arm): [float(round(0.9 - 0.006 * i + bonus[arm] + e, 4)) for e in noise[i, j]]
        for i, structure in enumerate(structures)
        for j, arm in enumerate(SIX)
    }
    sweep = tuple(
        SweepPoint(
            "0.5", lr, 2, 3, accuracy, lr == 0.03, "" if accuracy == accuracy else "diverged"
        )
        for lr, accuracy in ((0.1, float("nan")), (0.03, 0.86), (0.01, 0.85), (0.001, 0.79))
    )
    return make_comparison(
        accuracies, sweep=sweep, notes=("the rate of training from scratch was not swept",)
    )
