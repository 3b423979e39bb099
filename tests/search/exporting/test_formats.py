"""Each format holds what the network computes, for any number of images where that can be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shipped import IMAGES, KINDS
from torch import Tensor, nn

from search.exporting.formats import check_installed
from search.exporting.onnx import Onnx
from search.exporting.pt2 import Pt2
from search.exporting.safetensors import SafeTensors
from search.exporting.subject import Subject
from spaces import ModelError, UserError
from spaces.inputs import tensors


class Fixed(nn.Module):
    """Its code knows of one image at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(192, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.reshape(1, 192))


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j1(x)


class Two(nn.Module):
    """An image and tokens by name; a dict comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.embedding = nn.Linear(192, 5), nn.Embedding(7, 5)

    def forward(self, image: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        seen, said = self.fc(image.flatten(1)), self.embedding(tokens).mean(1)
        return {"both": seen + said, "said": said}


def subject(model: nn.Module, **changes: object) -> Subject:
    about = {"model": model.eval(), "title": "it", "example": (IMAGES[:1],)} | changes
    return Subject(**about).traceable()  # type: ignore[arg-type]


FORMATS = [SafeTensors(), Pt2(), pytest.param(Onnx(), id="onnx")]


@pytest.fixture(params=FORMATS, ids=lambda format: format.title)
def format(request: pytest.FixtureRequest) -> SafeTensors | Pt2 | Onnx:
    chosen: SafeTensors | Pt2 | Onnx = request.param
    for package in chosen.packages:
        pytest.importorskip(package, reason="an extra: pip install -e '.[onnx]'")
    return chosen


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_back_computes_the_same(
    kind: str, format: SafeTensors | Pt2 | Onnx, pruned: Callable[[str], Subject], tmp_path: Path
) -> None:
    chosen = pruned(kind).traceable()
    assert (chosen.batch, chosen.is_strict) == (None, kind == "Attends")
    format.write(chosen, tmp_path, "net")
    assert [path.name for path in tmp_path.iterdir()] == format.names("net")
    run = format.read(chosen, tmp_path, "net")
    with torch.no_grad():
        for images in (IMAGES, IMAGES[:1], IMAGES[:5]):
            (output,) = tensors(run(images))
            torch.testing.assert_close(output, chosen.model(images), rtol=1e-4, atol=1e-4)


def test_a_batch_size_that_code_fixes_is_one_and_said(
    format: SafeTensors | Pt2 | Onnx, tmp_path: Path
) -> None:
    chosen = subject(Fixed())
    assert (chosen.batch, chosen.is_fixed) == (1, True)
    format.write(chosen, tmp_path, "net")
    (output,) = tensors(format.read(chosen, tmp_path, "net")(IMAGES[:1]))
    torch.testing.assert_close(output, chosen.model(IMAGES[:1]), rtol=1e-4, atol=1e-4)


def test_several_inputs_by_name_and_nested_outputs(
    format: SafeTensors | Pt2 | Onnx, tmp_path: Path
) -> None:
    given = {"tokens": torch.tensor([[1, 2, 3], [6, 0, 1]]), "image": IMAGES[:2]}
    example = {name: tensor[:1] for name, tensor in given.items()}
    chosen = subject(Two(), example=example)
    assert chosen.batch is None
    format.write(chosen, tmp_path, "net")
    outputs = tensors(format.read(chosen, tmp_path, "net")(**given))
    wanted = tensors(chosen.model(**given))
    for output, own in zip(outputs, wanted, strict=True):
        torch.testing.assert_close(output, own, rtol=1e-4, atol=1e-4)


def test_a_batch_size_of_ones_own(tmp_path: Path) -> None:
    chosen = subject(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), batch=3)
    Pt2().write(chosen, tmp_path, "net")
    run = Pt2().read(chosen, tmp_path, "net")
    assert run(IMAGES[:3]).shape == (3, 5)
    with pytest.raises(Exception, match="3"):
        run(IMAGES[:2])


def test_an_operation_that_onnx_has_not_is_named_with_its_module(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="an extra: pip install -e '.[onnx]'")
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), Bessel())
    chosen = subject(nn.Sequential(nn.ReLU(), inner, nn.Flatten(1), nn.Linear(144, 5)))
    with pytest.raises(ModelError) as caught:
        Onnx().write(chosen, tmp_path, "net")
    assert str(caught.value) == (
        "ONNX must have every operation of the network, but has not prims.bessel_j1, called in "
        "'1.1' (Bessel); write that module with other operations, or export --to pt2"
    )
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_traced_is_one_line() -> None:
    class Unstable(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match=r"must be traceable by torch\.export, but got ") as caught:
        subject(Unstable())
    assert "\n" not in str(caught.value)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for format in (SafeTensors(), Pt2()):
        check_installed(format.title, format)
    monkeypatch.setattr(Onnx, "packages", ("torch", "onnxruntime_of_nobody"))
    with pytest.raises(UserError) as caught:
        check_installed("onnx", Onnx())
    assert str(caught.value) == (
        "--to onnx needs torch, onnxruntime_of_nobody, but onnxruntime_of_nobody is not installed; "
        "pip install 'pruning-policy-search[onnx]'"
    )
