"""Whose widths are compared: each meets its budget, and keeps to its definition."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import prune_ops
import spaces
from search import models
from search.comparing import structure_check
from search.comparison.config import STRUCTURES, CompareConfig
from search.comparison.structures import (
    Structure,
    inside_blocks,
    residual_streams,
    structures,
)
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.folder import Folder
from search.plans.finals import Finalist
from spaces import Budget, Space, UserError

HALF = Budget.parse("0.5")


def discovered(name: str) -> tuple[torch.nn.Module, Space]:
    (channels, side, _), classes = models.usual(name)
    torch.manual_seed(0)
    model = models.build(name, classes, channels).eval()
    return model, spaces.discover(model, (torch.zeros(1, channels, side, side),))


def test_all_structures_meet_the_budget_and_say_what_they_inherit(
    evaluator: Evaluator, contenders: list[Finalist]
) -> None:
    scales = prune_ops.score(evaluator.task.model, evaluator.space, (), ["bn_scale"])["bn_scale"]
    found = structures(STRUCTURES, contenders, evaluator, scales)
    assert [(s.name, s.kind, s.candidate.criterion) for s in found] == [
        ("trial 7", "searched", "second_order"),
        ("trial 3", "searched", "second_order"),
        ("uniform", "predefined", "second_order"),
        ("l1", "predefined", "l1"),
        ("thinet", "predefined", "thinet"),
        ("slimming", "discovered", "slimming"),
    ]
    limit = HALF.limit(evaluator.space.full_flops)
    assert all(0.9 * limit < evaluator.space.flops(s.candidate.policy) <= limit for s in found)
    assert [s.name for s in found if s.best] == ["trial 7"]
    by_name = {s.name: s for s in found}
    assert by_name["l1"].candidate.policy == by_name["uniform"].candidate.policy


def test_only_those_asked_for(evaluator: Evaluator, contenders: list[Finalist]) -> None:
    assert structures(["searched"], [contenders[0], contenders[-1]], evaluator) == [
        Structure("trial 7", contenders[0].candidate, HALF, number=7, best=True, kind="searched")
    ]


def test_thinet_leaves_residual_streams_whole() -> None:
    model, space = discovered("resnet20")
    streams = residual_streams(model, space)
    policy = inside_blocks(model, space, HALF)
    assert streams == {"conv1"}  # those of layer2 and layer3 meet a pad and are frozen
    inside = set(policy) - streams
    assert all(name.endswith("conv1") and name != "conv1" for name in inside)
    channels = {group.name: group.channels for group in space.groups}
    assert all(policy[name] == channels[name] for name in streams)
    shares = [policy[name] / channels[name] for name in inside]
    assert max(shares) < 1
    assert max(shares) - min(shares) <= 1 / 8  # one step of their lattices
    limit = HALF.limit(space.full_flops)
    assert 0.97 * limit < space.flops(policy) <= limit


def test_depthwise_convolutions_make_no_residual_stream() -> None:
    model, space = discovered("mobilenet_v2")
    streams = residual_streams(model, space)
    # Its blocks widen the stream, filter it depthwise, and narrow it again.
    assert streams
    assert all(
        ".conv.2" in name or ".conv.1" in name or name.startswith("features.0") for name in streams
    )
    expanded = [g.name for g in space.groups if g.name.endswith("conv.0.0")]
    assert expanded
    assert not streams & set(expanded[1:])


def test_slimming_without_batchnorm_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 10)
    )
    space = spaces.discover(model, (torch.zeros(1, 1, 8, 8),))
    folder = Folder(tmp_path, SearchConfig())
    with pytest.raises(UserError, match="slimming cannot be: criterion 'bn_scale' needs a BatchN"):
        structure_check(CompareConfig(structures=("slimming",)), folder)(model, space)
    structure_check(CompareConfig(structures=("searched", "thinet")), folder)(model, space)
    structure_check(CompareConfig.asked({"full": True}), folder)(model, space)  # leaves it out


def test_streams_alone_above_the_budget_are_refused() -> None:
    model, space = discovered("resnet20")
    with pytest.raises(UserError, match="thinet keeps residual streams whole"):
        inside_blocks(model, space, Budget.parse(space.floor_flops / space.full_flops * 1.01))
