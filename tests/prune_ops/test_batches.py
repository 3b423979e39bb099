"""What cannot be scored or pruned from is told in one line, whoever raised what."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import prune_ops
import spaces
from prune_ops.surgery.pruning import operate


class OneInput(nn.Module):
    """Its outputs are made by a function of the logits."""

    def __init__(self, out=lambda logits: logits):
        super().__init__()
        self.first, self.head, self.out = nn.Linear(3, 8), nn.Linear(8, 4), out

    def forward(self, x):
        return self.out(self.head(self.first(x).relu()))


X, Y = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 4


def fails(*_):
    raise KeyError("boxes")


def unreadable():
    yield X, Y
    raise OSError("no such file")


REFUSED = {
    "a tuple for the default loss": (
        {"out": lambda z: (z, z)},
        "the default loss, cross_entropy, takes one tensor of logits, but the network gives "
        "[(1, 4), (1, 4)]; pass loss=..., a function of (outputs, targets)",
    ),
    "a dict for the default loss": (
        {"out": lambda z: {"logits": z}},
        "the default loss, cross_entropy, takes one tensor of logits, but the network gives "
        "{logits: (1, 4)}; pass loss=..., a function of (outputs, targets)",
    ),
    "a loss that fails": (
        {"loss": fails},
        "the loss must take the outputs (1, 4) and the targets (1,), but it fails with KeyError: "
        "'boxes' (HERE); pass loss=..., a function of (outputs, targets) that fits them",
    ),
    "targets that the default loss cannot take": (
        {"batches": [(X, torch.full((5,), 7))]},
        "the loss must take the outputs (1, 4) and the targets (1,), but it fails with IndexError: "
        "Target 7 is out of bounds.; pass loss=..., a function of (outputs, targets) that fits "
        "them",
    ),
    "a loss for each image": (
        {"loss": lambda z, _: z.square().mean(0)},
        "the loss must return one number as a tensor, but it returns torch.float32 (4,); pass "
        "loss=..., a function of (outputs, targets) that does",
    ),
    "a loss that is no tensor": (
        {"loss": lambda z, _: z.sum().item()},
        "the loss must return one number as a tensor, but it returns float; pass loss=..., a "
        "function of (outputs, targets) that does",
    ),
    "a network that fails": (
        {"out": fails},
        "the network must run on the inputs of every batch, but on (1, 3) it fails with KeyError: "
        "'boxes' (HERE); give batches of what the space was discovered with, on the network's "
        "device",
    ),
    "too many inputs": (
        {"batches": [({"x": X, "y": X}, Y)]},
        "the network must run on the inputs of every batch, but on {x: (1, 3), y: (1, 3)} it fails "
        "with TypeError: ",
    ),
    "no pairs": (
        {"batches": [X]},
        "batches must be a list, a loader or another iterable of (inputs, targets), with a tensor "
        "among the inputs, but got a batch (5, 3); give [(inputs, targets), ...]",
    ),
    "a pair in place of a list of pairs": ({"batches": (X, Y)}, "but got a batch (5, 3); give ["),
    "no iterable": ({"batches": None}, "but got NoneType; give [(inputs, targets), ...]"),
    "no tensors": ({"batches": [([[1.0]], Y)]}, "but got inputs [[float]]; give ["),
    "other targets than inputs": (
        {"batches": [(X, {"class": Y[:3]})]},
        "targets must have one entry for each of the 5 items of their inputs, but got {class: "
        "(3,)}; give batches whose first dims agree",
    ),
    "data that cannot be read": (
        {"batches": unreadable},
        "batches must be readable to the end, but the next one fails with OSError: no such file "
        "(HERE); check the data",
    ),
    "nothing": ({"batches": []}, "calibration needs at least 1 image, but got none"),
    "a generator at its end": ({"batches": iter(())}, "calibration needs at least 1 image"),
    "nan": ({"batches": [(X * torch.nan, Y)]}, "scores must be finite, but 'taylor_2019' gave"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_one_line(make_groups, case: str):
    given, line = REFUSED[case]
    space = make_groups(("first", 8, ("first.weight", 0, "out"), ("head.weight", 1, "in")))
    batches = given.get("batches", [(X, Y)])
    with pytest.raises(spaces.UserError) as caught:
        prune_ops.score(
            OneInput(**{k: v for k, v in given.items() if k == "out"}),
            space,
            batches() if callable(batches) else batches,
            ["taylor_2019"],
            given.get("loss", cross_entropy),
        )
    assert line in re.sub(r"\(\S*test_batches.py, line \d+\)", "(HERE)", str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("surgery", [n for n, s in prune_ops.SURGERIES.items() if s.needs_images])
@pytest.mark.parametrize("case", ["no pairs", "no iterable", "no tensors", "too many inputs"])
def test_what_surgery_cannot_look_at_is_one_line(make_groups, surgery: str, case: str):
    groups = make_groups(("first", 8, ("first.weight", 0, "out"), ("head.weight", 1, "in"))).groups
    with pytest.raises(spaces.UserError) as caught:
        operate(OneInput(), groups, {"first": np.arange(4)}, surgery, REFUSED[case][0]["batches"])
    assert "\n" not in str(caught.value)
    assert "of (inputs, targets)" in str(caught.value) or "must run on" in str(caught.value)


@pytest.mark.parametrize("outputs", [lambda z: (z, z), lambda z: {"a": [z]}, lambda z: z])
@pytest.mark.parametrize("criterion", ["taylor_2019", "second_order_hutchinson"])
def test_gradients_are_tried_beforehand_whatever_comes_out(make_groups, criterion, outputs):
    space = make_groups(("first", 8, ("first.weight", 0, "out"), ("head.weight", 1, "in")))
    prune_ops.check_criteria([criterion], OneInput(outputs), space, example=(X[:1],))
    prune_ops.check_criteria([criterion], OneInput(outputs), space, example={"x": X[:1]})


def test_outputs_without_a_real_number_have_no_gradients(make_groups):
    space = make_groups(("first", 8, ("first.weight", 0, "out"), ("head.weight", 1, "in")))
    classes = OneInput(lambda logits: logits.argmax(1))
    with pytest.raises(spaces.UserError, match=r"none \(its outputs hold no tensor of real num"):
        prune_ops.check_criteria(["taylor_2019"], classes, space, example=(X[:1],))
