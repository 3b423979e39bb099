"""Python that is written rebuilds the network where nothing of this project can be imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from shipped import IMAGES, KINDS, NETS, subject_of
from torch import Tensor, nn

from search import models
from search.exporting.as_code import AsCode, changed_attributes
from search.exporting.builders import ALIAS, Builder, builder
from search.exporting.subject import Subject
from spaces import UserError
from spaces.slicing import named_tensors

ISOLATED = """
import importlib, sys
from pathlib import Path

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("prune_ops", "spaces", "search", "results"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refused())
sys.path += sys.argv[1:]
import torch
from safetensors.torch import load_file, save_file

here = Path(sys.argv[1])
outputs = {}
with torch.inference_mode():
    for name, images in load_file(here / "inputs").items():
        outputs[name] = importlib.import_module(name).load()(images)
save_file(outputs, here / "outputs")
"""
BUILT_IN = {"digits_small": (1, 8), "resnet20": (3, 16), "mobilenet_v2_cifar": (3, 16)}
TORCHVISION = {"squeezenet1_1": (3, 32), "resnet18": (1, 32)}


def exported(pruned: Callable[[str], Subject]) -> Iterator[tuple[str, Builder, Subject, Tensor]]:
    """A name, how it is built, the pruned network and images for it."""
    for kind in KINDS:
        yield kind, builder(f"{NETS}:{kind}", 5, 3), pruned(kind), IMAGES
    for name, (channels, side) in (BUILT_IN | TORCHVISION).items():
        torch.manual_seed(0)
        images = torch.randn(3, channels, side, side)
        model = models.build(name, 10, channels).eval()
        yield name, builder(name, 10, channels), subject_of(model, images), images


def test_without_this_project_it_computes_the_same(
    nets: Path, pruned: Callable[[str], Subject], tmp_path: Path
) -> None:
    inputs: dict[str, Tensor] = {}
    wanted: dict[str, Tensor] = {}
    for name, own, subject, images in exported(pruned):
        AsCode(own).write(subject, tmp_path, name)
        with torch.inference_mode():
            inputs[name], wanted[name] = images.clone(), subject.model(images)
    save_file(inputs, tmp_path / "inputs")
    command = [sys.executable, "-I", "-c", ISOLATED, str(tmp_path), str(nets)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = load_file(tmp_path / "outputs")
    assert outputs.keys() == wanted.keys()
    for name, output in outputs.items():
        torch.testing.assert_close(
            output, wanted[name], msg=lambda said, name=name: f"{name}: {said}"
        )


def test_what_shares_weights_goes_on_to(pruned: Callable[[str], Subject], tmp_path: Path) -> None:
    written = AsCode(builder(f"{NETS}:Tied", 5, 3))
    subject = pruned("Tied")
    written.write(subject, tmp_path, "tied")
    again: nn.Module = written.read(subject, tmp_path, "tied")  # type: ignore[assignment]
    assert again.c.weight is again.d.weight is again.held[0]  # type: ignore[index]
    stored = load_file(tmp_path / "tied.safetensors")
    assert ("c.weight" in stored, "d.weight" in stored) == (True, False)
    assert all(torch.equal(stored[n], t) for n, t in named_tensors(subject.model).items())


def test_the_file_says_what_was_pruned(pruned: Callable[[str], Subject], tmp_path: Path) -> None:
    subject = pruned("Plain")
    AsCode(builder(f"{NETS}:Plain", 5, 3)).write(subject, tmp_path, "plain")
    text = (tmp_path / "plain.py").read_text()
    assert f"from {NETS} import Plain as {ALIAS}\n" in text
    assert f"model = {ALIAS}(num_classes=5)\n" in text
    assert all(f"    {group!r}: {kept},\n" in text for group, kept in subject.widths.items())
    own = subject.model.get_submodule("a")
    width = subject.widths["a"]
    assert own.out_channels == width < 16
    assert (
        f"    'deep': {{'in_channels': {width}, 'out_channels': {width}, 'groups': {width}}}"
        in text
    )
    assert "extra" not in text  # nothing that this network does not need


@pytest.mark.parametrize("name", [*BUILT_IN, "digits_cnn", "resnet32b", "vgg11_cifar"])
def test_the_source_of_a_built_in_model_is_copied_whole(name: str) -> None:
    (channels, *_), _ = models.usual(name)
    own = builder(name, 7, channels)
    assert not any(package in line for line in own.imports for package in ("search", "spaces"))
    torch.manual_seed(3)
    copied = own.build()
    torch.manual_seed(3)
    wanted = models.build(name, 7, channels)
    assert repr(copied) == repr(wanted)
    tensors = named_tensors(copied)
    assert all(torch.equal(tensors[n], tensor) for n, tensor in named_tensors(wanted).items())


def test_attributes_that_pruning_changed_and_no_others() -> None:
    before = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LayerNorm(8))
    after = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm(4)).eval()
    assert changed_attributes(before, after) == {
        "0": {"out_channels": 4},
        "1": {"normalized_shape": (4,)},
    }


def test_a_name_that_cannot_be_imported_is_refused(
    pruned: Callable[[str], Subject], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="must be a name that Python can import, but got 'my-net'"):
        AsCode(builder("digits_small", 10, 1)).write(pruned("Plain"), tmp_path, "my-net")
    assert not list(tmp_path.iterdir())
