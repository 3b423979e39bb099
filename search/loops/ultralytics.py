"""ultralytics' trainer of YOLO detectors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search.loops import needs
from spaces.errors import quiet


class Ultralytics:
    """Trains by ultralytics' own trainer, with its augmentation and its moving average of weights.

    >>> loop = Ultralytics("data.yaml", imgsz=640, batch=16, lr0=0.001)

    The network is what ``YOLO("yolov8n.pt").model`` is. ultralytics builds networks of its own
    sizes from their name; this trains the pruned one as it is. What it would save, validate and
    plot is left out, as the search judges every network itself.

    Args:
        data: ultralytics' file of a data set.
        trainer: ``DetectionTrainer``, or another trainer class of ultralytics, or yours.
        options: of training, by ultralytics' names; ``epochs`` and ``seed`` are the search's.

    Raises:
        UserError: ultralytics is not installed.
    """

    def __init__(self, data: str | Path, trainer: type | None = None, **options: Any) -> None:
        needs("ultralytics", "ultralytics")
        self._data, self._trainer, self._options = str(data), trainer, options

    def __call__(self, model: nn.Module, epochs: int, seed: int) -> nn.Module:
        from ultralytics.models.yolo.detect import DetectionTrainer

        # Mixed precision is first tried on a network that ultralytics downloads.
        usual: dict[str, Any] = {"model": "pruned.pt"}  # which is not looked for
        usual |= {"amp": False, "plots": False, "verbose": False, "save": False, "val": False}
        device = next(model.parameters()).device
        where = device.index or 0 if device.type == "cuda" else device.type
        asked = {**usual, "device": where, **self._options}
        strict = torch.are_deterministic_algorithms_enabled()
        with tempfile.TemporaryDirectory() as folder, quiet("ultralytics"):
            given = {**asked, "data": self._data, "epochs": epochs, "seed": seed, "project": folder}
            trainer: Any = (self._trainer or DetectionTrainer)(overrides=given)
            trainer.model = model  # one that is there is not built
            trainer.validate = lambda: ({}, 0.0)
            trainer.save_model = trainer.final_eval = lambda: None
            try:
                trainer.train()
            finally:
                torch.use_deterministic_algorithms(strict)
        averaged: nn.Module = trainer.ema.ema
        return averaged
