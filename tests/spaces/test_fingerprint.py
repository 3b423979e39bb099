"""The hash of what a network computes: other code is another hash, other weights are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import Residual
from torch import Tensor, fx, nn

import spaces
from spaces import ModelError
from spaces.fingerprint import fingerprint, graph_fingerprint

ROOT = Path(__file__).parents[2]
IMAGE = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    """A convolution, something, and a classifier; ``constant`` is no parameter and no buffer."""

    def __init__(
        self,
        between: Callable[[Tensor], Tensor] = torch.relu,
        constant: float = 2.0,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 16, 3), nn.Linear(16, 10)
        self.between, self.norm = between, norm or nn.BatchNorm2d(16)
        self.constant = torch.tensor([constant])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.between(self.norm(self.conv(x))).mean((2, 3)) * self.constant)


class Branching(nn.Module):
    """The activation is inside a branch of the graph."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.activation = nn.Linear(8, 8), activation

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return torch.cond(y.sum() > 0, lambda y: self.activation(y), lambda y: y.sin(), (y,))


class Renamed(Net):
    """The same code under other names of variables, with lines in between."""

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)

        normalised = self.norm(features)
        pooled = self.between(normalised).mean((2, 3))
        return self.fc(pooled * self.constant)


def test_weights_and_names_of_variables_do_not_matter() -> None:
    torch.manual_seed(0)
    first = graph_fingerprint(Net(), IMAGE)
    torch.manual_seed(1)
    assert graph_fingerprint(Net().train(), (IMAGE,)) == first
    assert graph_fingerprint(Renamed(), {"images": IMAGE}) == first
    assert len(first) == 16


@pytest.mark.parametrize(
    "other",
    [
        Net(torch.tanh),
        Net(nn.LeakyReLU(0.1)),
        Net(nn.LeakyReLU(0.2)),
        Net(nn.Dropout(0.1)),
        Net(nn.Dropout(0.2)),
        Net(constant=3.0),
        Net(norm=nn.BatchNorm2d(16, eps=1e-3)),
        Net(norm=nn.Identity()),
        Net(lambda x: x.relu().double().float()),
    ],
)
def test_other_code_is_another_network(other: nn.Module) -> None:
    assert graph_fingerprint(other, IMAGE) != graph_fingerprint(Net(), IMAGE)


def test_an_argument_alone_makes_the_difference() -> None:
    slopes = [graph_fingerprint(Net(nn.LeakyReLU(slope)), IMAGE) for slope in (0.1, 0.2, 0.1)]
    rates = [graph_fingerprint(Net(nn.Dropout(rate)), IMAGE) for rate in (0.1, 0.2, 0.1)]
    for first, second, third in (slopes, rates):
        assert first == third != second


def test_which_parameter_goes_where_makes_the_difference() -> None:
    class Two(nn.Module):
        def __init__(self, swapped: bool) -> None:
            super().__init__()
            self.a, self.b, self.swapped = nn.Linear(8, 8), nn.Linear(8, 8), swapped

        def forward(self, x: Tensor) -> Tensor:
            return self.a(self.b(x)) if self.swapped else self.b(self.a(x))

    first, second = (graph_fingerprint(Two(swapped), torch.zeros(1, 8)) for swapped in (0, 1))
    assert first != second


def test_what_is_inside_a_branch_is_seen() -> None:
    row = torch.zeros(1, 8)
    made = [graph_fingerprint(Branching(f), row) for f in (torch.relu, torch.tanh, torch.relu)]
    assert made[0] == made[2] != made[1]


class Placed(nn.Module):
    """Makes a tensor on the device of its input, in an autocast region of that device."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.fc(x) + torch.ones(8, device=x.device)


def test_the_device_does_not_matter() -> None:
    program = torch.export.export(Placed().eval(), (torch.zeros(1, 8),), strict=False)
    here = fingerprint(program)
    moved, elsewhere = 0, {torch.device("cpu"): torch.device("cuda"), "cpu": "cuda"}
    for graph in [m for m in program.graph_module.modules() if isinstance(m, fx.GraphModule)]:
        for node in graph.graph.nodes:
            args, kwargs = node.args, node.kwargs
            node.args = tuple(elsewhere.get(a, a) if isinstance(a, str) else a for a in args)
            node.kwargs = {
                name: elsewhere.get(value, value) if name == "device" else value
                for name, value in kwargs.items()
            }
            moved += (node.args, node.kwargs) != (args, kwargs)
    assert moved == 2
    assert fingerprint(program) == here


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "import torch; from networks import Residual; "
        "from spaces.fingerprint import graph_fingerprint; "
        "print(graph_fingerprint(Residual(), torch.zeros(1, 3, 8, 8)))"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "1"},  # here it is another
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == graph_fingerprint(Residual(), torch.zeros(1, 3, 8, 8))
    assert len(done.stdout.strip()) == 16


def test_a_network_that_cannot_be_traced_is_told_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"be traceable by torch\.export, but got"):
        graph_fingerprint(Net(lambda x: x if bool(x.sum() > 0) else -x), IMAGE)


def test_a_space_knows_the_code_that_it_is_of() -> None:
    spaces_of = [spaces.discover(Net(f), IMAGE) for f in (torch.relu, torch.relu, torch.tanh)]
    first, second, third = (space.fingerprint for space in spaces_of)
    assert first == second != third
