"""Folders that versions before wrote, with files of torch, still load, and run no pickled code."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import prune_ops
from prune_ops import artifact
from spaces import DataError, Policy
from spaces.slicing import origin

POLICY = Policy({"0": 2})
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def architecture(width: int = 4, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    layers = (nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), activation(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten(1), nn.Linear(width, 5)).eval()


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(0)
    return architecture(width=2)


@pytest.fixture(params=[1, 2])
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def folder(small: nn.Module, number: int, tmp_path: Path) -> Path:
    """As ``prune_ops.save`` wrote it then; a ``kept.pt`` beside format 1 is none of it."""
    torch.save(dict(small.state_dict()), tmp_path / "weights.pt")
    kept = {
        "cut": [("0.weight", 0, torch.tensor([1, 3])), ("5.weight", 1, torch.tensor([1, 3]))],
        "buffers": {},
        "inputs": (IMAGES[:1],),
        "outputs": [small(IMAGES[:1]).detach()],
        "tolerance": 1e-3,
    }
    torch.save(kept if number == 2 else [1, 2], tmp_path / "kept.pt")
    about = {"format": number, "widths": {"0": 2}, "info": {"val_accuracy": 0.5}}
    (tmp_path / "policy.json").write_text(json.dumps(about))
    return tmp_path


def test_it_loads(small: nn.Module, folder: Path, number: int) -> None:
    loaded = prune_ops.load(architecture(), folder)
    assert torch.equal(loaded(IMAGES), small(IMAGES))
    assert prune_ops.load_policy(folder) == POLICY
    source = origin(loaded)
    if number == 1:
        assert source is None
        return
    assert source is not None
    assert {at: kept.tolist() for at, kept in source.kept.items()} == {
        ("0.weight", 0): [1, 3],
        ("5.weight", 1): [1, 3],
    }
    with pytest.raises(DataError, match="must compute what was saved, but output 1 of 1"):
        prune_ops.load(architecture(activation=nn.GELU), folder)


def test_saved_again_it_is_of_the_present_format(small: nn.Module, folder: Path) -> None:
    loaded = prune_ops.load(architecture(), folder)
    prune_ops.save(folder, loaded, POLICY)
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "policy.json"]
    assert torch.equal(prune_ops.load(architecture(), folder)(IMAGES), small(IMAGES))


def test_its_files_are_known(folder: Path, number: int) -> None:
    names = [path.name for path in artifact.files(folder)]
    assert names == ["weights.pt", "kept.pt"][:number]


class Malice:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("archive", [True, False])
def test_pickled_code_is_refused_and_not_run(folder: Path, archive: bool) -> None:
    harm = folder / "harm"
    torch.save({"0.weight": Malice(harm)}, folder / "weights.pt", pickle_module=pickle,
               _use_new_zipfile_serialization=archive)  # fmt: skip
    reason = "holds pickled code, which was not run" if archive else "must be a torch file"
    with pytest.raises(DataError, match=reason):
        prune_ops.load(architecture(), folder)
    assert not harm.exists()


def test_what_is_missing_or_damaged_is_one_line(folder: Path, number: int) -> None:
    for path in artifact.files(folder):
        whole = path.read_bytes()
        for damage in (b"", b"not a torch file", b"PK\x03\x04", whole[: len(whole) // 2]):
            path.write_bytes(damage)
            with pytest.raises(DataError, match=rf"{re.escape(path.name)} must be a torch file"):
                prune_ops.load(architecture(), folder)
        torch.save([1, 2], path)
        with pytest.raises(DataError, match="must hold a state_dict, but does not"):
            prune_ops.load(architecture(), folder)
        path.unlink()
        with pytest.raises(DataError, match=rf"{re.escape(path.name)} must exist, but does not"):
            prune_ops.load(architecture(), folder)
        path.write_bytes(whole)
    if number == 2:
        torch.save({"a": torch.zeros(1)}, folder / "kept.pt")
        with pytest.raises(DataError, match=r"kept\.pt must be what save\(\) wrote, but is not"):
            prune_ops.load(architecture(), folder)
