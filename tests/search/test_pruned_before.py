"""A network that was pruned before, by us or by another tool, is pruned further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import loops
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import prune_ops
import results
import search
import spaces
from search import Task, models
from search.cli import main
from spaces import DataError

QUICK = (
    "--trials 2 --starts l1 --criterion l1 --rungs 1 --repeats 0 --final-epochs 1 --final-seeds 1 "
    "--lr 0.01 --no-gains --sampler random --proxies params --rank-by params --surgery plain "
    "--train-images 128 --name mine"
)


def fresh() -> nn.Module:
    return models.build("digits_small", classes=10, in_channels=1).eval()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uniform widths at half the FLOPs, saved."""
    torch.manual_seed(0)
    model, folder = fresh(), Path(tmp_path_factory.mktemp("pruned")) / "12"
    space = spaces.discover(model, torch.rand(1, 1, 8, 8))
    policy = space.uniform(0.5)
    scores = prune_ops.score(model, space, (), ["l1"])
    prune_ops.save(folder, prune_ops.prune(model, space, policy, scores["l1"]), policy)
    return folder


def counted(model: nn.Module) -> int:
    """Multiply-adds, by torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 1, 8, 8))
    return int(counter.get_total_flops() // 2)


def test_its_weights_are_those_of_its_folder_or_of_the_file_in_it(artifact: Path) -> None:
    wanted = prune_ops.load(fresh(), artifact)
    for path in (artifact, artifact / "model.safetensors"):
        model, (told,) = models.given_weights(fresh(), path)
        assert "was pruned before, to" in told
        x = torch.rand(3, 1, 8, 8)
        assert torch.equal(model(x), wanted(x))


def test_a_folder_without_one_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"or a folder that prune_ops.save wrote, but there is none"
    ):
        models.check_weights(tmp_path)


def test_a_run_prunes_it_further_and_its_networks_load_and_are_exported(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--weights", str(artifact), "--budget", "0.6", *QUICK.split()]
    assert main([*words, "--runs-dir", str(tmp_path)]) == 0
    assert "was pruned before" in capsys.readouterr().err
    run = results.load(tmp_path / "mine")
    once = counted(prune_ops.load(fresh(), artifact))
    assert run.provenance.full_flops == once
    for final in run.finals:
        name = "unpruned" if final.role == "baseline" else f"{final.number or 'uniform-0.6'}"
        twice = prune_ops.load(fresh(), tmp_path / "mine" / "models" / name).eval()
        assert counted(twice) == final.flops <= once * (1 if final.policy is None else 0.6)
    assert main(["export", str(tmp_path / "mine"), "--as-code", "--trial", "uniform-0.6"]) == 0


def network(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    a, b = widths
    first, second = (nn.Linear(6, a), nn.BatchNorm1d(a), nn.ReLU()), (nn.Linear(a, b), nn.ReLU())
    return nn.Sequential(*first, *second, nn.Linear(b, 1))


def searched(model: nn.Module, folder: Path) -> results.Run:
    parts = {name: getattr(loops.plain(), name) for name in ("train", "validation", "test")}
    task = Task(model=model.eval(), loss=loops.squares, metric=loops.metric, **parts)
    options: dict[str, Any] = {
        **{"trials": 3, "starts": ("l1",), "criterion": "l1", "rungs": (1,), "repeats": 0},
        **{"final_epochs": 1, "final_seeds": 1, "lr": 0.01, "gains": False},
        **{"sampler": "random", "surgery": "plain", "proxies": ("params",), "rank_by": "params"},
    }
    return search.search(task, 0.5, name="mine", runs_dir=str(folder), **options)


def linear_flops(widths: list[int]) -> int:
    return sum(a * b for a, b in zip([6, *widths], [*widths, 1], strict=True))


def test_one_that_was_pruned_here_in_memory_goes_on(tmp_path: Path) -> None:
    """Of its first policy a group has one channel left, which is none to choose any more."""
    model = network(32, 24).eval()
    space = spaces.discover(model, torch.rand(1, 6))
    one, two = (group.name for group in space.groups)
    scores = prune_ops.score(model, space, (), ["l1"])
    policy = spaces.Policy({one: 20, two: 1})
    run = searched(prune_ops.prune(model, space, policy, scores["l1"]), tmp_path)
    assert run.provenance.full_flops == linear_flops([20, 1])
    best = next(final for final in run.finals if final.best)
    assert best.policy is not None
    assert best.flops == linear_flops([best.policy[one], 1]) <= linear_flops([20, 1]) / 2
    prune_ops.load(network(32, 24), tmp_path / "mine/models/best")


def test_another_tools_odd_widths_are_searched(tmp_path: Path) -> None:
    pruning = pytest.importorskip("torch_pruning")
    model, example = network(32, 24).eval(), torch.rand(1, 6)
    pruner = pruning.pruner.MagnitudePruner(
        model,
        example,
        importance=pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.28,
        ignored_layers=[model[-1]],
    )
    pruner.step()
    widths = [model[0].out_features, model[3].out_features]
    assert any(width % 2 for width in widths)
    run = searched(model, tmp_path)
    assert run.provenance.full_flops == linear_flops(widths)
    best = next(final for final in run.finals if final.best)
    assert best.policy is not None
    assert best.flops == linear_flops([*best.policy.values()]) <= linear_flops(widths) / 2
    loaded = prune_ops.load(network(*widths), tmp_path / "mine/models/best")
    assert loaded[0].out_features == next(iter(best.policy.values()))
