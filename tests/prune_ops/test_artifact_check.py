"""One forward pass is kept with an artifact: what computes something else is not let in."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_ops
import spaces
from prune_ops.artifact import MODEL
from prune_ops.artifact.passes import Pass, difference, run
from prune_ops.artifact.safetensors import read
from spaces import DataError, ModelError

ZEROS = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    """Two outputs, the first a million times as large as the second."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU, gain: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), activation(), nn.Dropout()
        )
        self.fc, self.small, self.gain = nn.Linear(16, 4), nn.Linear(16, 4), gain

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x).mean((2, 3))
        return 1e6 * self.fc(features), self.small(features) * self.gain


def build(*options: object) -> nn.Module:
    torch.manual_seed(0)
    return Net(*options).eval()


@pytest.fixture(scope="module")
def pruned() -> tuple[nn.Module, spaces.Policy]:
    model = build()
    space = spaces.discover(model, (ZEROS,))
    policy = space.uniform(0.5)
    return prune_ops.prune(
        model, space, policy, prune_ops.score(model, space, [], ["l1"])["l1"]
    ), policy


@pytest.fixture
def folder(pruned, tmp_path):
    prune_ops.save(tmp_path, *pruned)
    return tmp_path


@pytest.mark.parametrize("activation", [nn.GELU, nn.LeakyReLU, nn.Hardswish, nn.Identity])
def test_another_activation_is_refused(folder, activation):
    """The space was discovered on zeros, of which this network computes next to nothing."""
    with pytest.raises(DataError) as caught:
        prune_ops.load(build(activation), folder)
    line = str(caught.value)
    assert "must compute what was saved, but output 1 of 2 is off by" in line
    assert line.endswith("build the architecture that was pruned, or give load(..., verify=False)")
    assert "\n" not in line
    assert isinstance(prune_ops.load(build(activation), folder, verify=False), Net)


def test_an_error_does_not_drown_beside_a_larger_output(folder):
    with pytest.raises(DataError, match=r"output 2 of 2 is off by 0\.01 of its largest value"):
        prune_ops.load(build(nn.ReLU, 1.01), folder)
    prune_ops.load(build(nn.ReLU, 1.00001), folder)


def test_a_network_that_fails_is_refused(folder):
    class Other(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.body(x))

    with pytest.raises(DataError, match=r"but it fails with RuntimeError: .*; build the"):
        prune_ops.load(Other().eval(), folder)


@pytest.mark.parametrize("given", ["origin", "example", "nothing"])
def test_where_the_inputs_come_from(pruned, tmp_path, given):
    small, policy = pruned
    if given != "origin":
        small = spaces.copied(small)
        del small._pruned_from
    prune_ops.save(tmp_path, small, policy, example=ZEROS + 0.5 if given == "example" else None)
    kept = read(tmp_path / MODEL)[1]
    if given == "nothing":
        assert kept.inputs is kept.outputs is None
        assert isinstance(prune_ops.load(build(nn.GELU), tmp_path), Net)
        return
    (inputs,), wanted = kept.inputs, small(*kept.inputs)
    assert inputs.unique().numel() == (1 if given == "example" else inputs.numel())
    assert all(torch.equal(a, b) for a, b in zip(kept.outputs, wanted, strict=True))


def test_constants_stay_where_noise_is_no_number(tmp_path):
    class Logarithm(Net):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward((x + 1).log())

    torch.manual_seed(0)
    small = Logarithm().eval()
    small._pruned_from = spaces.slicing.Origin({}, (ZEROS,))
    prune_ops.save(tmp_path, small, spaces.Policy({}))
    kept = read(tmp_path / MODEL)[1]
    assert torch.equal(kept.inputs[0], ZEROS)
    assert all(output.isfinite().all() for output in kept.outputs)


def test_a_network_that_does_not_repeat_itself_has_nothing_to_compare(tmp_path):
    class Noisy(Net):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(x + torch.randn_like(x))

    prune_ops.save(tmp_path, Noisy().eval(), spaces.Policy({"body.0": 16}), example=ZEROS)
    assert read(tmp_path / MODEL)[1].outputs is None
    assert isinstance(prune_ops.load(Noisy(), tmp_path), Noisy)


def test_a_network_that_cannot_run_is_not_saved(pruned, tmp_path):
    with pytest.raises(
        ModelError,
        match=r"must run before it is saved, but it fails with RuntimeError: .*; give what it is "
        r"called with as save\(\.\.\., example=\)",
    ):
        prune_ops.save(tmp_path / "new", *pruned, example=torch.zeros(1, 4, 8, 8))
    assert not (tmp_path / "new").exists()
    with pytest.raises(spaces.UserError, match="must hold at least one tensor"):
        prune_ops.save(tmp_path / "new", *pruned, example=())


class Reads(nn.Module):
    """Keeps what goes through it, and draws from every generator there is."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        self.calls += 1
        return x + 0 * (torch.rand(1) + random.random() + np.random.rand())


def state_of_everything() -> list[object]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]


def test_neither_the_network_nor_the_random_state_is_touched(tmp_path):
    model = nn.Sequential(Reads(), nn.Conv2d(3, 4, 3), nn.Dropout())
    model[1].eval()
    before = state_of_everything()
    prune_ops.save(tmp_path, model, spaces.Policy({"1": 4}), example=ZEROS + 1)
    loaded = prune_ops.load(model, tmp_path)
    assert state_of_everything() == before
    for network in (model, loaded):
        assert network[0].seen == []
        assert network[0].calls.item() == 0
        assert [module.training for module in network] == [True, False, True]


class Autocast(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


@pytest.mark.parametrize(
    ("model", "dtype", "tolerance"),
    [
        (nn.Linear(3, 2), torch.float64, 1e-6),
        (nn.Linear(3, 2), torch.float32, 1e-3),
        (nn.Linear(3, 2), torch.float16, 2e-2),
        (nn.Linear(3, 2), torch.bfloat16, 5e-2),
        (nn.Tanh(), torch.complex64, 1e-3),
        (Autocast(3, 2), torch.float32, 5e-2),
        (nn.Identity(), torch.int64, 0.0),
    ],
)
def test_the_tolerance_is_that_of_the_coarsest_dtype_computed_in(model, dtype, tolerance):
    model = model.to(dtype) if isinstance(model, nn.Linear) else model
    assert run(model, (torch.ones(1, 3, dtype=dtype),)).tolerance == tolerance


@pytest.mark.parametrize(("share", "fits"), [(0.009, True), (0.011, False)])
def test_the_difference_is_a_share_of_the_largest_value(share, fits):
    got, wanted = torch.tensor([-4.0, 1.0 + 4 * share]), torch.tensor([-4.0, 1.0])
    for one, other in (([0.01, 0.0]), ([0.0, 0.01])):
        found = difference(Pass([got], one), Pass([wanted], other))
        assert found == (
            None if fits else "output 1 of 1 is off by 0.011 of its largest value (at most 0.01)"
        )


@pytest.mark.parametrize(
    ("got", "wanted", "said"),
    [
        ([torch.zeros(2)], [torch.zeros(3)], r"output 1 of 1 is \(2,\) instead of \(3,\)"),
        ([torch.zeros(2)], [], "gives 1 outputs instead of 0"),
        ([torch.tensor([3, 4])], [torch.tensor([3, 5])], "off by 0.5"),
        ([torch.tensor([float("nan")])], [torch.ones(1)], "off by inf"),
        ([torch.tensor([float("inf")])], [torch.tensor([-float("inf")])], "off by inf"),
    ],
)
def test_what_differs_is_said(got, wanted, said):
    assert re.search(said, difference(Pass(got, 1e-3), Pass(wanted, 1e-3)) or "")


@pytest.mark.parametrize(
    "output",
    [
        torch.tensor([float("nan"), float("inf"), 1.0]),
        torch.zeros(0),
        torch.tensor([True, False]),
        torch.full((2,), 1e-9),
    ],
)
def test_what_is_the_same_is_let_in(output):
    same = output + 1e-9 if output.is_floating_point() else output
    assert difference(Pass([same], 1e-3), Pass([output], 1e-3)) is None


class Holder(nn.Module):
    def get_extra_state(self) -> object:
        return {"log": open}


def test_extra_state_that_cannot_be_read_back_is_named(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), Holder())
    with pytest.raises(DataError) as caught:
        prune_ops.save(tmp_path, model, spaces.Policy({"0": 2}))
    assert str(caught.value) == (
        "a model's extra state must be tensors and plain values, but get_extra_state of 1 is a "
        "dict with something else in it; give numbers, strings, lists, dicts and tensors"
    )
