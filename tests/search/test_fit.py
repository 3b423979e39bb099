"""Other networks and data than a search takes end in one line, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from looking import look_at
from torch import Tensor, nn

from search import data, models, search
from search.cli import main
from search.task.building import build_task
from search.task.fit import TAKES, check_fit
from search.task.task import Task
from spaces.errors import DataError, UserError

MODULE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Net(nn.Module):
    def __init__(self, out=lambda logits, training: logits):
        super().__init__()
        self.conv, self.head, self.out = nn.Conv2d(1, 8, 3), nn.Linear(8, 10), out
    def forward(self, x):
        return self.out(self.head(self.conv(x).relu().mean((2, 3))), self.training)
class Two(Net):
    def forward(self, x, y): return super().forward(x + y)
class Dict(Net):
    def forward(self, batch): return super().forward(batch["image"])

def a_tuple(): return Net(lambda z, _: (z, z))
def a_dict(): return Net(lambda z, _: {"logits": z})
def a_map(): return Net(lambda z, _: z[..., None])
def a_nan(): return Net(lambda z, _: (z - 1e6).log())
def a_tuple_in_training(): return Net(lambda z, training: (z, z) if training else z)
def two(): return Two()
def one_dict(): return Dict()
def fits(): return Net()

class Items:
    def __init__(self, form): self.form = form
    def __len__(self): return 20
    def __getitem__(self, i):
        if i >= 20: raise IndexError
        return self.form(torch.zeros(1, 8, 8), i % 10)
class Set(Items, torch.utils.data.Dataset): pass

GOOD = Set(lambda x, y: (x, y))
def dicts(): return (Set(lambda x, y: ({"image": x}, y)),) * 3
def pairs(): return (Set(lambda x, y: ((x, x), y)),) * 3
def whole(): return (Set(lambda x, y: {"image": x, "label": y}),) * 3
def test_alone(): return GOOD, GOOD, dicts()[0]
def three():
    return (TensorDataset(torch.zeros(20, 1, 8, 8), torch.zeros(20, 2), torch.zeros(20)),) * 3
def loader(): return (DataLoader(dicts()[0], batch_size=4),) * 3
def lists(): return ([({"image": torch.zeros(4, 1, 8, 8)}, torch.arange(4))],) * 3
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "fit_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "fit_nets", raising=False)
    return "fit_nets"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    weights = tmp_path_factory.mktemp("weights") / "digits.pt"
    torch.save(models.build("digits_cnn", 10, 1).state_dict(), weights)
    return build_task("digits_cnn", weights=weights, device="cpu")


NETWORKS = {
    "a_tuple": "must give 10 outputs, one a class of data 'digits', but for one image it gives a "
    "tuple; a search takes",
    "a_dict": "but for one image it gives a dict; a search takes",
    "a_map": "but for one image it gives (1, 10, 1); a search takes",
    "a_tuple_in_training": "in training must give 10 outputs, one a class of data 'digits', but "
    "for 2 images it gives a tuple; a search takes",
    "two": "must take images (1, 8, 8) of data 'digits', but it fails with TypeError: ",
    "one_dict": "must take images (1, 8, 8) of data 'digits', but it fails with IndexError: ",
}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_that_is_not_searched_is_one_line(
    nets: str, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the criterion that is the default, which looks at gradients of the loss."""
    assert main(["--model", f"{nets}:{network}", "--data", "digits", "--device", "cpu"]) == 2
    said = capsys.readouterr().err.strip()
    assert NETWORKS[network] in said
    assert TAKES in said
    assert "a loss and a metric: --loss and --metric, or --task; search.Task in Python" in said
    assert said.count("\n") == 0


@pytest.mark.parametrize("given", [["--data", "digits"], ["--image-size", "8"]])
def test_inspect_says_so_of_other_inputs(
    nets: str, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "--model", f"{nets}:two", *given]) == 2
    said = capsys.readouterr().err.strip()
    assert "model 'fit_nets:two' must take images" in said
    assert TAKES in said
    assert said.count("\n") == 0


FORM = r"^data must come in batches \(images, labels\)|^item 0 of 'fit_nets:\w+' must (be|have)"


@pytest.mark.parametrize(
    "form", ["dicts", "pairs", "whole", "test_alone", "three", "loader", "lists"]
)
def test_data_that_is_no_images_and_labels_is_one_line_before_anything_is_trained(
    nets: str, form: str
) -> None:
    with pytest.raises(DataError, match=FORM) as told:
        data.load(f"{nets}:{form}", workers=0)
    assert TAKES in str(told.value)
    assert "\n" not in str(told.value)


def test_outputs_that_are_no_numbers_are_one_line(nets: str) -> None:
    must = (
        r"model 'fit_nets:a_nan' must give numbers, but for an image of data 'digits' it gives NaN"
    )
    with pytest.raises(DataError, match=must):
        build_task(f"{nets}:a_nan", "digits", device="cpu")


class Pair(nn.Module):
    def __init__(self, out: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.head, self.out = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), out

    def forward(self, x: Tensor) -> object:
        return self.out(self.head(x))


def test_a_task_of_ones_own_is_held_to_the_same(task: Task, tmp_path: Path) -> None:
    other = replace(task, model=Pair(lambda z: (z, z)).eval())
    with pytest.raises(UserError, match=r"one a class of the task, .* gives a tuple; a search"):
        search(other, runs_dir=str(tmp_path))
    image = task.example[0]
    with pytest.raises(UserError, match="must take one image, but its example is another"):
        search(replace(task, example=(image, image)), runs_dir=str(tmp_path))


def test_what_fits_is_left_as_it_was(task: Task) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 10)
    )
    model[1].eval()
    before, drawn = look_at(model), torch.get_rng_state()
    check_fit(model, task.example, 10, "a", "data 'b'")
    assert look_at(model) == before
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_is_told_what_to_give(dtype: torch.dtype) -> None:
    model = models.build("digits_cnn", 10, 1).to(dtype)
    kind = str(dtype).removeprefix("torch.")
    said = rf"images are float32 and conv1.weight is {kind}: give model.float\(\)$"
    with pytest.raises(DataError, match=said):
        check_fit(model, (torch.zeros(1, 1, 8, 8),), 10, "mine", "digits")
