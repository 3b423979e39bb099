"""What would hide an error from the self-check, and what is none."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import SMALL, Stem
from torch import nn

import spaces
from spaces.probe import tolerance

IMAGE = torch.zeros(1, 3, 8, 8)


def offered(network):
    torch.manual_seed(0)
    space = spaces.discover(network(), IMAGE)
    return {g.name: g.choices for g in space.groups}, {f.name: f.reason for f in space.frozen}


class ZeroInitialised(Stem):
    """A literal slice behind a layer that is zero as it is initialised, and not when trained."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x) + x[:, :8].mean((1, 2, 3))[:, None]


class BehindASmallScale(Stem):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((1,), 1e-6))

    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x) + self.gamma * x[:, :8].mean((1, 2, 3))[:, None]


class BesideALargeOutput(Stem):
    def forward(self, x):
        x = self.b(self.a(x))
        return 1e9 * self.head(x), {"small": x[:, :8].mean((1, 2, 3))}


class BesideABias(Stem):
    """Of the output a hundredth depends on the input."""

    def __init__(self):
        super().__init__()
        nn.init.constant_(self.fc.bias, 10.0)

    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x * x[:, :8].mean((1, 2, 3), keepdim=True).exp())


class InTraining(Stem):
    def forward(self, x):
        x = self.b(self.a(x))
        return self.head(x * x[:, :4].mean((1, 2, 3), keepdim=True) if self.training else x)


class InTrainingBehindNorm(Stem):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        x = self.norm(self.b(self.a(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head(x * x[:, :4].mean((1, 2, 3), keepdim=True) if self.training else x)


@pytest.mark.parametrize(
    "network",
    [
        *(ZeroInitialised, BehindASmallScale, BesideALargeOutput, BesideABias),
        *(InTraining, InTrainingBehindNorm),
    ],
)
def test_a_literal_slice_is_seen_whatever_hides_it(network):
    choices, frozen = offered(network)
    assert choices.keys() == {"a", "c"}
    assert frozen["b"].startswith("computes something else ")
    assert ("in training" in frozen["b"]) == network.__name__.startswith("InTraining")


class Noisy(Stem):
    """Dropout in eval mode, DropPath and dropout in training: random, and none of it a size."""

    def forward(self, x):
        x = self.a(x)
        y = F.dropout2d(F.dropout(self.b(x), 0.5, training=True), 0.2, self.training)
        if self.training:
            y = y * y.new_empty(len(y), 1, 1, 1).bernoulli_(0.5)
        return self.head(x + y * torch.rand(()))


def test_chance_is_no_reason_to_freeze():
    choices, frozen = offered(Noisy)
    assert choices.keys() == {"a", "c"}
    assert frozen == {"fc": "network output"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_rounding_is_no_reason_to_freeze(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(*(SMALL["Residual"](), nn.Flatten())).to(dtype)
    space = spaces.discover(net, IMAGE.to(dtype))
    assert [g.channels for g in space.groups] == [16, 16]


class CastInside(Stem):
    """Half precision that the code asks for."""

    def __init__(self):
        super().__init__()
        self.b.to(torch.bfloat16)

    def forward(self, x):
        return self.head(self.b(self.a(x).bfloat16()).float())


def test_types_fixed_in_the_code_are_judged_by_their_own_rounding():
    choices, _ = offered(CastInside)
    assert choices.keys() == {"a", "b", "c"}
    assert tolerance([torch.float32]) < tolerance([torch.float32, torch.bfloat16])


class Auxiliary(Stem):
    """A head that only training uses; ``pool`` is the least size that it takes."""

    def __init__(self, pool):
        super().__init__()
        self.aux = nn.Sequential(nn.AvgPool2d(pool), nn.Flatten(), nn.Linear(16, 4))

    def forward(self, x):
        x = self.b(self.a(x))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


def test_a_head_that_only_training_uses_is_cut_with_what_it_reads():
    torch.manual_seed(0)
    net = Auxiliary(8)
    space = spaces.discover(net, IMAGE)
    small = spaces.slice_model(net, space, {"b": np.arange(4)}).train()
    assert small.aux[2].in_features == 4
    assert small(torch.zeros(2, 3, 8, 8))[1].shape == (2, 4)


def test_a_head_that_does_not_run_on_the_example_is_refused_by_name():
    with pytest.raises(
        spaces.ModelError, match=r"only training uses .* but aux.2 does not"
    ) as told:
        spaces.discover(Auxiliary(16), IMAGE)
    assert "\n" not in str(told.value)
    assert "give larger example inputs" in str(told.value)


def test_a_head_that_cannot_be_traced_is_frozen_by_name():
    class Branches(Auxiliary):
        def forward(self, x):
            out = super().forward(x)
            if self.training and out[1].sum() > 1e9:
                return out[0]
            return out

    torch.manual_seed(0)
    space = spaces.discover(Branches(8), IMAGE)
    frozen = {f.name: (f.channels, f.reason) for f in space.frozen}
    assert frozen["aux.2"][0] == 4
    assert "the train-mode graph cannot be traced (" in frozen["aux.2"][1]
    assert "cannot be trained when cut" in frozen["b"][1]
    assert {g.name for g in space.groups} == {"a", "c"}
