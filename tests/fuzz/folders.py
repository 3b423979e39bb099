"""A folder of all that a command line may name: images, weights and runs, good and damaged."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from fuzz.strange_models import Base
from search import models
from search.cli import main

SMALL = (
    *("--trials", "1", "--rungs", "1", "--final-epochs", "1", "--final-seeds", "1"),
    *("--repeats", "0", "--train-images", "48", "--starts", "l1", "--criterion", "l1"),
    *("--proxies", "reconstructed", "--budget", "0.9", "--layer-epochs", "1", "--lr", "0.01"),
)
"""A search of a few seconds."""

MODULES = {
    "broken_syntax": "def model(:\n",
    "raises_at_import": "raise RuntimeError('no\\nimport')\n",
    "exits_at_import": "import sys\nsys.exit(3)\n",
    "imports_nothing": "import a_module_that_is_not_there\n",
    "bytes_at_import": "# -*- coding: no-such-coding -*-\n",
}
"""Modules that cannot be imported."""


def furnished(root: Path) -> Path:
    """Fill ``root`` with everything; the same each time."""
    torch.manual_seed(0)
    for name, text in MODULES.items():
        (root / f"{name}.py").write_text(text)
    _weights(root)
    for name, spoil in SPOILED.items():
        _images(root / name)
        spoil(root / name)
    for name, text in CONFIGS.items():
        (root / "runs" / name).mkdir(parents=True)
        (root / "runs" / name / "config.json").write_text(text)
    (root / "runs" / "thesis").mkdir()
    (root / "runs" / "thesis" / "thesis.tex").write_text("x")
    (root / "runs" / "a_file").write_text("x")
    (root / "empty").mkdir()
    _finished(root)
    return root


def _finished(root: Path) -> None:
    """The run ``runs/done``, and a baseline of digits in the cache."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        where = ["--runs-dir", str(root / "runs"), "--name", "done"]
        code = main([*SMALL, "--starts", "l1", "repaired_damage", *where])
    assert code == 0


def _weights(root: Path) -> None:
    digits = models.build("digits_small", classes=10, in_channels=1)
    torch.save(digits.state_dict(), root / "weights.pt")
    torch.save(Base().state_dict(), root / "base.pt")
    nan = {name: value * float("nan") for name, value in digits.state_dict().items()}
    torch.save(nan, root / "nan.pt")
    half = {f"module.{name}": value.half() for name, value in digits.state_dict().items()}
    torch.save(half, root / "half.pt")
    beside = {"args": argparse.Namespace(lr=0.1), "epoch": 3}
    torch.save({"state_dict": digits.state_dict(), **beside}, root / "checkpoint.pt")
    torch.save({"one": half, "two": half, **beside}, root / "several.pt")
    integers = {name: value.to(torch.int8) for name, value in digits.state_dict().items()}
    torch.save(integers, root / "integers.pt")
    save_file(digits.state_dict(), root / "good.safetensors")
    (root / "cut.safetensors").write_bytes((root / "good.safetensors").read_bytes()[:500])
    torch.save({}, root / "nothing.pt")
    torch.save([1, 2], root / "list.pt")
    torch.save(digits, root / "pickled.pt")
    torch.save({"state_dict": {"a": 1}}, root / "numbers.pt")
    (root / "cut.pt").write_bytes((root / "weights.pt").read_bytes()[:5000])
    (root / "text.pt").write_text("weights")
    (root / "zero.pt").touch()


def _images(folder: Path) -> None:
    """Twelve grey images of two classes in each part."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(12):
                pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")


def _replaced(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(content)


def _saved(path: str, mode: str, size: tuple[int, int]) -> Callable[[Path], object]:
    return lambda folder: Image.new(mode, size).save(folder / path)


def _emptied(*parts: str) -> Callable[[Path], object]:
    return lambda folder: [p.unlink() for part in parts for p in (folder / part).rglob("*.png")]


def _renamed(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / old).rename(folder / new)


PNG = b"\x89PNG\r\n\x1a\n"
SPOILED: dict[str, Callable[[Path], object]] = {
    "images": lambda _: None,
    "images_text": _replaced("train/cat/3.png", b"no image"),
    "images_cut": _replaced("val/dog/3.png", PNG + b"\0\0\0\rIHDR"),
    "images_zero": _replaced("train/cat/3.png", b""),
    "images_mixed": _saved("train/cat/3.png", "RGB", (9, 12)),
    "images_grey": _saved("train/cat/3.png", "L", (8, 8)),
    "images_alpha": _saved("val/cat/3.png", "RGBA", (8, 8)),
    "images_thin": _saved("val/cat/3.png", "RGB", (1, 300)),
    "images_none": _emptied("train", "val"),
    "images_no_training": _emptied("train"),
    "images_one_class": _emptied("train/cat", "val/cat"),
    "images_other_class": _renamed("val/cat", "val/lion"),
    "images_no_val": _renamed("val", "test"),
    "images_unicode": _renamed("train/cat/3.png", "train/cat/ж\n猫.png"),
    "images_folder": lambda f: (f / "train/cat/folder.png").mkdir(),
}
"""Image folders by name, and what is wrong with each."""

CONFIGS = {
    "damaged": "{",
    "empty_config": "",
    "a_list": "[1, 2]",
    "no_config": "{}",
    "null": '{"config": null}',
    "unknown_option": json.dumps({"config": {"task": {"modell": "x"}}, "id": "0"}),
    "wrong_types": json.dumps({"config": {"policies": {"trials": "many"}}, "id": "0"}),
    "wrong_lists": json.dumps({"config": {"judging": {"rungs": "1"}}, "id": "0"}),
    "begun": json.dumps({"config": {"policies": {"trials": 2}}, "id": "0"}),
}
"""Runs that nothing can be done with, but for the last."""
