"""Layer by layer: each group's stage, what it costs, and going on where it was cut short."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluators import own_job
from torch import nn

import prune_ops
import spaces
from prune_ops.surgery.pruning import step
from results.record import Candidate
from search import models
from search.config import SearchConfig
from search.evaluation.evaluator import STAGE_SEEDS, Evaluator
from search.task.building import build_task
from search.task.task import Task
from search.training import checkpoints
from search.training.checkpoints import NOT_SAVED, NOWHERE, Checkpoint, InFolder, State
from search.training.layerwise import Layerwise, layer_flops, stages
from search.training.loop import evaluate, train
from spaces import Policy, Space


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    cache = tmp_path_factory.mktemp("cache")
    return build_task(
        "digits_cnn", train_images=128, baseline_epochs=3, cache=Path(cache), device="cpu"
    )


@pytest.fixture(scope="module")
def evaluator(task: Task) -> Evaluator:
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, (), ["l1"])["l1"]
    options = {"criterion": "l1", "surgery": "plain", "schedule": "layerwise"}
    config = SearchConfig.of(final_epochs=1, **options)
    return Evaluator(task=task, space=space, scores={"l1": scores}, config=config)


def with_options(evaluator: Evaluator, **options: Any) -> Evaluator:
    return dataclasses.replace(evaluator, config=evaluator.config.having(**options))


def narrowing(space: Space, *names: str) -> Policy:
    """Half of these groups, all of the others."""
    half = {g.name: g.channels // 2 for g in space.groups if g.name in names}
    return Policy({**space.full, **half})


def same(network: nn.Module, other: nn.Module) -> bool:
    weights = other.state_dict()
    return all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_stages_are_the_groups_that_lose_channels_in_order(space: Space) -> None:
    first, _, third, *_ = [group.name for group in space.groups]
    policy = narrowing(space, first, third)
    assert list(stages(space, policy)) == [narrowing(space, first), policy]
    assert list(stages(space, space.full)) == []
    both = space.flops(narrowing(space, first)) + space.flops(policy)
    assert layer_flops(space, policy, 2) == 2 * both
    assert len(list(stages(space, space.uniform(0.3)))) == len(space.groups)


def test_each_stage_prunes_the_network_that_the_last_one_trained(evaluator: Evaluator) -> None:
    """Done by hand: a cut, a training, a cut and a training."""
    space, task = evaluator.space, evaluator.task
    first, third = space.groups[0].name, space.groups[2].name
    policy = narrowing(space, first, third)
    how = dataclasses.replace(evaluator.specs.final(policy), layer_epochs=1)
    keep = prune_ops.select(space, policy, evaluator.scores["l1"])
    network: nn.Module = task.model
    groups = space.groups
    for stage, name in enumerate((first, third)):
        network, groups = step(network, groups, {name: keep[name]})
        seed = 5 + (stage + 1) * STAGE_SEEDS
        train(
            network,
            task.train,
            evaluator.specs.recipe(how),
            epochs=1,
            seed=seed,
            device=task.device,
        )
    train(network, task.train, evaluator.specs.recipe(how), epochs=1, seed=5, device=task.device)
    assert same(evaluator.trained(Candidate(policy), how, seed=5), network)


@pytest.mark.parametrize("surgery", ["reconstruct", "scale", "fold_beta"])
def test_surgery_acts_at_every_stage_and_in_one_shot(evaluator: Evaluator, surgery: str) -> None:
    policy = narrowing(evaluator.space, *(group.name for group in evaluator.space.groups[:3]))
    asked = with_options(evaluator, surgery=surgery)
    images = evaluator.task.calibration()
    wanted = prune_ops.prune(
        evaluator.task.model, evaluator.space, policy, evaluator.scores["l1"], surgery, images
    )
    assert same(asked.pruned(Candidate(policy)), wanted)
    assert not same(asked.pruned(Candidate(policy)), evaluator.pruned(Candidate(policy)))
    assert same(
        asked.pruned(Candidate(policy), surgery="plain"), evaluator.pruned(Candidate(policy))
    )
    how = asked.specs.final(policy)
    assert not same(
        asked.trained(Candidate(policy), how, seed=0),
        evaluator.trained(Candidate(policy), how, seed=0),
    )


def test_only_finals_are_layerwise(evaluator: Evaluator) -> None:
    policy = evaluator.space.uniform(0.5)
    assert evaluator.specs.in_mode(policy, 3).layer_epochs == 0
    assert evaluator.specs.final(policy).layer_epochs == 1
    assert with_options(evaluator, layer_epochs=2).specs.final(policy).layer_epochs == 2
    assert with_options(evaluator, schedule="one-shot").specs.final(policy).layer_epochs == 0


class Cut(BaseException):
    """The system kills the process."""


@dataclasses.dataclass(frozen=True)
class CutAtSave(InFolder):
    """The process is killed when something has been saved so often."""

    at: int = 0
    saves: list[str] = dataclasses.field(default_factory=list)

    def save(self, key: str, state: State) -> None:
        super().save(key, state)
        self.saves.append(key)
        if len(self.saves) == self.at:
            raise Cut


@pytest.mark.parametrize("at", range(1, 7))
def test_a_training_cut_short_anywhere_goes_on_to_the_same_weights(
    evaluator: Evaluator, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three stages of two epochs, saved in the middle and at the end, then two epochs more."""
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    asked = with_options(evaluator, layer_epochs=2, final_epochs=2, surgery="scale")
    policy = narrowing(evaluator.space, *(group.name for group in evaluator.space.groups[:3]))
    how = asked.specs.final(policy)
    whole = asked.trained(Candidate(policy), how, seed=2)
    cut = CutAtSave(tmp_path, at=at)
    with pytest.raises(Cut):
        dataclasses.replace(asked, checkpoints=cut).trained(Candidate(policy), how, seed=2)
    stages_trained: list[int] = []
    count_stages(monkeypatch, stages_trained)
    resumed = dataclasses.replace(asked, checkpoints=InFolder(tmp_path))
    assert same(resumed.trained(Candidate(policy), how, seed=2), whole)
    assert stages_trained == list(range(at // 2, 3))
    assert list(tmp_path.iterdir()) == []


def count_stages(monkeypatch: pytest.MonkeyPatch, trained: list[int]) -> None:
    run: Callable[[Layerwise], nn.Module] = Layerwise.run

    def counting(self: Layerwise) -> nn.Module:
        def tune(network: nn.Module, stage: int) -> None:
            trained.append(stage)
            self.tune(network, stage)

        return run(dataclasses.replace(self, tune=tune))

    monkeypatch.setattr(Layerwise, "run", counting)


def test_a_final_of_a_layerwise_run_is_an_outcome(evaluator: Evaluator) -> None:
    policy = narrowing(evaluator.space, evaluator.space.groups[0].name)
    result = evaluator.train_final(own_job(evaluator, policy, 1, returns_weights=True))
    network = evaluator.trained(Candidate(policy), evaluator.specs.final(policy), seed=1)
    assert result.failure is None
    assert result.test_accuracy == evaluate(network, evaluator.task.test)
    assert all(torch.equal(v, result.weights[n]) for n, v in network.state_dict().items())


def test_the_model_stays_as_it_is(space: Space) -> None:
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    keep = {g.name: np.arange(g.choices[0]) for g in space.groups}

    def tune(network: nn.Module, _stage: int) -> None:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()

    small = Layerwise(model, space, keep, "plain", [], tune, Checkpoint(NOWHERE, "")).run()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sum(p.abs().sum() for p in small.parameters()) == 0
    nothing = {g.name: np.arange(g.channels) for g in space.groups}
    assert same(Layerwise(model, space, nothing, "plain", [], tune, NOT_SAVED).run(), model)
