"""What the benchmarks compare with: another tool meets the share and leaves the network."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from search.models import build
from spaces import fvcore_flops

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module(request.param)


@pytest.mark.parametrize("benchmark", ["peers"], indirect=True)
@pytest.mark.parametrize(
    ("criterion", "scope"), [("l1", "uniform"), ("taylor", "uniform"), ("hessian", "global")]
)
def test_torch_pruning_meets_the_share_and_leaves_the_network(
    benchmark: ModuleType, criterion: str, scope: str
) -> None:
    pytest.importorskip("torch_pruning")
    torch.manual_seed(0)
    model, example = build("digits_cnn", 10, 1).eval(), (torch.randn(1, 1, 8, 8),)
    before = copy.deepcopy(model.state_dict())
    batches = [(torch.randn(6, 1, 8, 8), torch.arange(6))]
    pruned = benchmark.pruned_by_torch_pruning
    small = pruned(model, example, criterion, scope, 0.5, batches)
    assert 0.4 < fvcore_flops(small, example) / fvcore_flops(model, example) <= 0.5
    assert small(*example).shape == (1, 10)
    assert all(parameter.grad is None for parameter in [*model.parameters(), *small.parameters()])
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("benchmark", ["peers"], indirect=True)
def test_squared_gradients_are_those_of_single_images(benchmark: ModuleType) -> None:
    model = torch.nn.Linear(2, 3)
    inputs, targets = torch.randn(4, 2), torch.tensor([0, 1, 2, 0])
    found = benchmark.GRADIENTS["hessian"](model, [(inputs, targets)])["weight"]
    errors = model(inputs).softmax(1) - torch.eye(3)[targets]
    torch.testing.assert_close(found, (errors**2).T @ inputs**2)


@pytest.mark.parametrize("benchmark", ["peers"], indirect=True)
def test_gradients_need_images(benchmark: ModuleType) -> None:
    with pytest.raises(ValueError, match="needs images, but got none"):
        benchmark.GRADIENTS["taylor"](torch.nn.Linear(2, 3), [])
