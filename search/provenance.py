"""Where a result comes from: versions, commit, device, and what was checked."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from results import BesideRecord, FinalRecord
from results.beside import trainings
from search.config import SearchConfig
from search.evaluator import TOLERANCE
from search.task import Task
from spaces import Budget, Space

PACKAGES = ("torchvision", "optuna", "numpy", "pandas")


def provenance(
    name: str,
    config: SearchConfig,
    task: Task,
    space: Space,
    budgets: Sequence[Budget],
) -> dict[str, Any]:
    """What ``results.report`` needs beyond the records; its docstring names the keys."""
    return {
        "run": name,
        "task": task.name,
        "fresh": _fresh(config.task.model, task),
        "config": config.to_dict(),
        "reference": config.reference,
        "versions": versions(),
        "commit": commit(),
        "device": device(task.device),
        "budgets": {str(budget): budget.limit(space.full_flops) for budget in budgets},
        "full_flops": space.full_flops,
        "baseline": {"flops": space.full_flops, "params": space.full_params},
        "train_images": len(task.train),
        "val_images": len(task.validation),
        "test_images": len(task.test),
        "base_epochs": task.base_epochs,
        "tolerance": TOLERANCE,
        "groups": [{"name": g.name, "channels": g.channels} for g in space.groups],
        "frozen": [
            {"name": f.name, "channels": f.channels, "reason": f.reason} for f in space.frozen
        ],
        "uncounted": uncounted(space),
    }


def uncounted(space: Space) -> list[dict[str, str]]:
    """The operations that multiply weights and are in no count, as plain data."""
    return [{"module": u.module, "operation": u.operation} for u in space.uncounted]


def tested(finals: Sequence[FinalRecord], others: Sequence[BesideRecord]) -> dict[str, Any]:
    """What of the provenance is known only from the finals and what was set beside them."""
    networks = {(final.tried, seed) for final in finals for seed in final.seeds}
    reads = len(networks) + len(trainings(others))
    return _baseline(finals) | {"test_reads": reads}


def versions() -> dict[str, str]:
    """Of Python and of what computes."""
    builds = {"python": platform.python_version(), "torch": torch.__version__}
    return builds | {name: version(name) for name in PACKAGES}


def commit() -> str:
    """The commit of this checkout, with ``+`` if files differ from it; empty without git."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():  # installed; a repository further up would be another one
        return ""
    git = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        found = subprocess.run(git, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def device(used: torch.device) -> str:
    """``cpu (x86_64, 2 threads)`` or the name of the GPU."""
    if used.type == "cuda":
        return torch.cuda.get_device_name(used)
    return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"


def _fresh(model: str, task: Task) -> str:
    """The expression that builds the unpruned architecture."""
    channels = task.example[0].shape[1]
    return f"models.build({model!r}, classes={task.classes}, in_channels={channels})"


def _baseline(finals: Sequence[FinalRecord]) -> dict[str, Any]:
    for final in finals:
        if final.role == "baseline":
            known = {
                "flops": final.flops,
                "params": final.params,
                "val_accuracy": final.val_accuracy[0],
                "test_accuracy": final.test_accuracy[0],
            }
            return {"baseline": known}
    return {}
