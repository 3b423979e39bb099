"""Experiment loggers by name: one file each, one line in ``LOGGERS`` each.

| name | keeps a run in |
|---|---|
| ``wandb`` | Weights & Biases |
| ``mlflow`` | an MLflow tracking server, or its files |
| ``tensorboard`` | event files in the run's folder |
| ``package.module:function`` | your own ``search.Logger``, which the function returns |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spaces.table import Table

LOGGERS: Table[Callable[[], Any]] = Table(
    __name__,
    {
        "wandb": "wandb:logger",
        "mlflow": "mlflow:logger",
        "tensorboard": "tensorboard:logger",
    },
)
"""Name → what makes a ``Logger``; the name is that of the package it needs, and of our extra."""

NONE = "none"
"""In the place of a name: no logger, where a run is gone on with that had one."""
