"""Second opinions on flops: what each counter finds in which layer, and what it leaves out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import DeformConv2d

import spaces
from spaces.counters import KNOWN_GAPS, Count, opinions

ROW, IMAGE = torch.randn(1, 5, 8), torch.randn(1, 8, 6, 6)


class Applied(nn.Module):
    """A network of one operation between its input and an 8×8 parameter."""

    def __init__(self, apply: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.apply_to = nn.Parameter(torch.randn(8, 8)), apply

    def forward(self, x: Tensor) -> Any:
        return self.apply_to(x, self.weight)


class Within(nn.Module):
    """A network that calls the inner one in some way."""

    def __init__(self, inner: nn.Module, forward: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.call_inner = inner, forward

    def forward(self, x: Tensor) -> Any:
        return self.call_inner(self.inner, x)


def reentrant(inner: nn.Module, x: Tensor) -> Any:
    return checkpoint(inner, x, use_reentrant=True)


def deformed() -> nn.Module:
    return Within(DeformConv2d(8, 4, 3), lambda inner, x: inner(x, torch.zeros(1, 18, 4, 4)))


def counts(model: nn.Module, *inputs: Any) -> tuple[Count, Count]:
    fvcore, by_torch = opinions(model, inputs)
    assert (fvcore.counter, by_torch.counter) == ("fvcore", "torch")
    return fvcore, by_torch


@pytest.mark.parametrize(
    ("operation", "make", "given", "truth", "counted"),
    [
        ("_convolution_mode", lambda: nn.Conv2d(8, 4, 3, padding="same"), IMAGE, 10_368, "torch"),
        (
            "scaled_dot_product_attention",
            lambda: Applied(lambda x, _: F.scaled_dot_product_attention(x, x, x)),
            ROW,
            2 * 5 * 5 * 8,
            "torch",
        ),
        ("lstm", lambda: nn.LSTM(8, 4, batch_first=True), ROW, 5 * 4 * 4 * (8 + 4), "torch"),
        ("gru", lambda: nn.GRU(8, 4, batch_first=True), ROW, 5 * 3 * 4 * (8 + 4), "torch"),
        ("rnn_tanh", lambda: nn.RNN(8, 4, batch_first=True), ROW, 5 * 4 * (8 + 4), "torch"),
        (
            "rnn_relu",
            lambda: nn.RNN(8, 4, nonlinearity="relu", batch_first=True),
            ROW,
            5 * 4 * (8 + 4),
            "torch",
        ),
        ("baddbmm", lambda: Applied(lambda x, w: torch.baddbmm(x, x, w[None])), ROW, 320, "torch"),
        ("tensordot", lambda: Applied(lambda x, w: torch.tensordot(x, w, 1)), ROW, 320, "torch"),
        (
            "linalg_multi_dot",
            lambda: Applied(lambda x, w: torch.linalg.multi_dot([x[0], w, w])),
            ROW,
            5 * 8 * 8 + 5 * 8 * 8,
            "torch",
        ),
        ("mv", lambda: Applied(lambda x, w: w @ x[0, 0]), ROW, 64, ""),
        ("dot", lambda: Applied(lambda x, w: w[0] @ x[0, 0]), ROW, 8, ""),
        (
            "bilinear",
            lambda: Within(nn.Bilinear(8, 8, 4), lambda inner, x: inner(x, x)),
            ROW,
            5 * 8 * 8 * 4,
            "",
        ),
        (
            "_trilinear",
            lambda: Within(nn.Bilinear(8, 8, 4), lambda inner, x: inner(x, x)),
            ROW,
            5 * 8 * 8 * 4,
            "",
        ),
        ("deform_conv2d", deformed, IMAGE, 4 * 4 * 9 * 8 * 4, ""),
    ],
)
def test_a_known_gap_is_one_and_the_counter_that_has_none_is_right(
    operation: str, make: Callable[[], nn.Module], given: Tensor, truth: int, counted: str
) -> None:
    both = counts(make(), given)
    assert [count.counter for count in both if count.total == truth] == [counted] * bool(counted)
    skipped = [op for count in both for ops in count.skipped.values() for op in ops]
    assert operation in skipped


def test_every_known_gap_is_proven_above() -> None:
    marks = test_a_known_gap_is_one_and_the_counter_that_has_none_is_right.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(KNOWN_GAPS)


class Nested(nn.Module):
    """A layer called around its container, one that stands in two places, and one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.twice = nn.Conv2d(8, 4, 1)
        self.again = self.twice
        self.weight = nn.Parameter(torch.randn(4, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem[0](x)
        return (self.twice(x) + self.again(x)).mean((2, 3)) @ self.weight


def test_flops_are_told_by_the_module_that_calls_the_operation() -> None:
    for count in counts(Nested(), IMAGE):
        assert {name: n for name, n in count.layers.items() if n} == {
            "stem.0": 36 * 8 * 8 * 9,
            "twice": 2 * 36 * 8 * 4,
            "": 4 * 10,
        }, count.counter


def test_torch_counts_what_runs_in_one_fused_kernel() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    projections, attention, mlp = 5 * 8 * (3 * 8 + 8), 2 * 5 * 5 * 8, 2 * 5 * 8 * 16
    _, by_torch = counts(layer, ROW)
    assert by_torch.total == projections + attention + mlp
    assert by_torch.layers["self_attn"] == projections + attention


@pytest.mark.parametrize(
    "make",
    [
        lambda: Within(nn.Conv2d(8, 8, 3), reentrant),
        lambda: torch.compile(nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())),
    ],
    ids=["re-entrant checkpoint", "compiled"],
)
def test_fvcore_says_why_it_fails_where_torch_counts(make: Callable[[], nn.Module]) -> None:
    fvcore, by_torch = counts(make(), IMAGE)
    assert fvcore.failure.startswith("RuntimeError: ")
    assert "\n" not in fvcore.failure
    assert (fvcore.total, fvcore.layers) == (0, {})
    assert (by_torch.failure, by_torch.total) == ("", 16 * 8 * 8 * 9)


def test_inputs_by_name_are_no_failure_of_the_other_counter() -> None:
    fvcore, by_torch = opinions(nn.Linear(8, 4), {"input": ROW})
    assert fvcore.failure.startswith("ModelError: fvcore calls a network with inputs by position")
    assert by_torch.total == 5 * 8 * 4


def test_a_network_that_fails_gives_two_reasons_and_no_error() -> None:
    both = counts(nn.Linear(9, 4), ROW)
    assert all(count.failure.startswith("RuntimeError: ") for count in both)


class Told(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}


def test_extra_state_that_is_no_tensor_is_no_hindrance() -> None:
    model = nn.Sequential(Told(8, 4), Told(4, 2))
    found = [(count.layers["0"], count.layers["1"]) for count in counts(model, ROW)]
    assert found == [(5 * 32, 5 * 8)] * 2
    assert model.state_dict()["1._extra_state"] == {"version": 3}


def test_the_network_is_left_as_it_was_hooks_and_all() -> None:
    seen: list[int] = []
    model = nn.Sequential(nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model.train()[2].eval()
    model[0].register_forward_hook(lambda *_: seen.append(1))
    before = copy.deepcopy(model.state_dict())
    counts(model, IMAGE)
    spaces.fvcore_flops(model, (IMAGE,))
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert seen == []
    assert [len(module._forward_hooks) for module in model] == [1, 0, 0]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_nothing_is_said_while_it_counts(capfd: pytest.CaptureFixture[str]) -> None:
    branching = Applied(lambda x, w: x @ w if bool(x.sum() > 0) else x)  # tracing warns of it
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        counts(branching, ROW.abs())
    assert [str(warning.message) for warning in said] == []
    assert capfd.readouterr() == ("", "")


def test_what_torch_is_told_for_the_count_is_as_before_afterwards() -> None:
    def told() -> tuple[bool, ...]:
        return (
            torch.backends.mha.get_fastpath_enabled(),
            torch.backends.mkldnn.enabled,
            torch.backends.cudnn.enabled,
            torch.backends.cuda.flash_sdp_enabled(),
            torch.is_grad_enabled(),
        )

    before = told()
    counts(nn.Linear(9, 4), ROW)
    assert told() == before
