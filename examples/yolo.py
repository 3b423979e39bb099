"""A YOLO detector of bright squares, trained by ultralytics' own trainer.

    python search.py --task examples.yolo:task --budget 0.5 --trials 8 --rungs 1 \\
        --final-epochs 3 --final-seeds 2 --no-gains

It needs ``pip install -e '.[ultralytics]'``. The whole network is pruned, its head too; what leaves
it stays. The loss is ultralytics' own, and the metric the share of squares that the surest box of
their image meets with an IoU of 0.5.
"""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.ops import box_convert, box_iou
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel, yaml_model_load
from ultralytics.utils.loss import v8DetectionLoss

from search import Metric, Task
from search.loops.ultralytics import Ultralytics
from search.training.own_loop import train_by

Batch = dict[str, Tensor]
SIDE, SQUARE = 64, 20


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise (count, SIDE, SIDE, 3) with a bright square, and where that is: the middle and the size
    as shares of the side (count, 4)."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 90, (count, SIDE, SIDE, 3), dtype=np.uint8)
    corners = draw.integers(0, SIDE - SQUARE, (count, 2))
    for image, (left, top) in zip(images, corners, strict=True):
        image[top : top + SQUARE, left : left + SQUARE] = 230
    boxes = np.hstack([corners + SQUARE / 2, np.full((count, 2), SQUARE)]) / SIDE
    return images, boxes.astype(np.float32)


def loader(count: int, seed: int) -> DataLoader[Batch]:
    images, boxes = pictures(count, seed)
    rows = [
        {"img": torch.from_numpy(image).permute(2, 0, 1) / 255, "bboxes": torch.from_numpy(box)}
        for image, box in zip(images, boxes, strict=True)
    ]
    return DataLoader(rows, batch_size=16)  # type: ignore[arg-type]


def written(count: int, seed: int) -> Path:
    """The same in a folder, as ultralytics' trainer reads it; its ``data.yaml``."""
    folder = Path(tempfile.gettempdir()) / f"squares-{count}-{seed}"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number, (image, box) in enumerate(zip(*pictures(count, seed), strict=True)):
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text(f"0 {' '.join(map(str, box))}\n")
    path = folder / "data.yaml"
    path.write_text(f"path: {folder}\ntrain: images\nval: images\nnames: {{0: square}}\n")
    return path


def detector() -> DetectionModel:
    """YOLOv8 of an eighth of the width of its smallest, with random weights."""
    logging.getLogger("ultralytics").setLevel(logging.WARNING)
    sizes = yaml_model_load("yolov8n.yaml") | {"scales": {"n": [0.33, 0.0625, 256]}, "nc": 1}
    model = DetectionModel(sizes, nc=1, verbose=False)
    model.args = get_cfg()
    return model


@cache
def criterion() -> v8DetectionLoss:
    """Which depends on strides and classes alone, not on widths."""
    return v8DetectionLoss(detector())


def inputs(batch: Batch) -> Tensor:
    return batch["img"]


def loss(outputs: Any, batch: Batch) -> Tensor:
    """Of one square an image."""
    count = len(batch["img"])
    batch = {**batch, "cls": torch.zeros(count, 1), "batch_idx": torch.arange(count)}
    parts: Tensor = criterion()(outputs, batch)[0]
    return parts.sum() / count


def found(outputs: Any, batch: Batch) -> Tensor:
    boxes, scores = outputs[0][:, :4], outputs[0][:, 4]  # (B, 4, places), (B, places)
    surest = boxes[torch.arange(len(boxes)), :, scores.argmax(1)]
    wanted = SIDE * batch["bboxes"]
    pair = (box_convert(corners, "cxcywh", "xyxy") for corners in (surest, wanted))
    return (box_iou(*pair).diagonal() > 0.5).float()


def task() -> Task:
    """The task, with a network that is trained here in less than a minute."""
    torch.manual_seed(0)
    model: nn.Module = detector()
    options = {"imgsz": SIDE, "batch": 8, "optimizer": "AdamW", "lr0": 0.01, "warmup_epochs": 0}
    loop = Ultralytics(written(64, seed=0), **options, mosaic=0.0, workers=0)
    train_by(loop, model, epochs=15, seed=0, device=torch.device("cpu"))
    return Task(
        model=model.eval(),
        train=loader(64, seed=0),
        validation=loader(64, seed=1),
        test=loader(64, seed=2),
        inputs=inputs,
        loss=loss,
        metric=Metric("squares found", found, higher_is_better=True, unit="%"),
        train_loop=loop,
    )
