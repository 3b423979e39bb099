"""Which software this is: its commit, and the versions of what it stands on."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torchvision", "optuna", "numpy", "pandas")


def versions() -> dict[str, str]:
    """The versions of Python and of the numerical packages."""
    builds = {"python": platform.python_version(), "torch": torch.__version__}
    return builds | {name: version(name) for name in PACKAGES}


def commit() -> str:
    """The commit of this checkout, with ``+`` if files differ from it; empty without git."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():  # installed: a repository further up is another one
        return ""
    git = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        process = subprocess.run(git, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip()
