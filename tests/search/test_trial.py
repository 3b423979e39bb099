"""Climb: one rung of one policy, measured on digits; whatever goes wrong is an outcome."""

from __future__ import annotations

import dataclasses
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import prune_ops
import spaces
from prune_ops.running import forward
from results import TrialRecord
from search import checkpoints
from search.checkpoints import InFolder, Nowhere, State
from search.config import SearchConfig
from search.task import build_task
from search.train import evaluate
from search.trial import Climb, FinalJob, Training, failure
from spaces import ModelError, Policy


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Climb:
    cache = tmp_path_factory.mktemp("cache")
    task = build_task(train_images=256, baseline_epochs=8, cache=Path(cache), device="cpu")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["l1"])
    return Climb(
        task, space, {"l1": prune_ops.normalised(scores["l1"])}, SearchConfig.of(criterion="l1")
    )


def with_options(climb: Climb, **options: Any) -> Climb:
    return dataclasses.replace(climb, config=climb.config.having(**options))


def test_rung_0_measures_every_proxy_and_the_rungs_above_accuracy(climb: Climb) -> None:
    policy = climb.space.uniform(0.5)
    judged, trained = climb.rung(policy, 0, seed=1), climb.rung(policy, 2, seed=1)
    assert judged.failure is None
    assert judged.proxies.keys() == {"predicted_damage", "adaptive_bn"}
    assert judged.proxies["predicted_damage"] < 0 <= judged.proxies["adaptive_bn"] <= 1
    assert trained.epochs == 3
    assert 0.2 < trained.accuracy <= 1
    assert judged.seconds > 0


def test_a_rung_is_the_same_for_the_same_seed_and_leaves_the_model_alone(climb: Climb) -> None:
    before = {name: value.clone() for name, value in climb.task.model.state_dict().items()}
    policy = climb.space.uniform(0.3)
    copy = pickle.loads(pickle.dumps(climb))
    first, again = climb.rung(policy, 1, seed=5), copy.rung(policy, 1, seed=5)
    assert first.accuracy == again.accuracy
    after = climb.task.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize(("mode", "epochs"), [("scratch-e", 1), ("scratch-b", 4)])
def test_scratch_b_takes_the_computation_of_the_unpruned_network(
    climb: Climb, mode: str, epochs: int
) -> None:
    outcome = with_options(climb, train=mode).rung(climb.space.uniform(0.25), 1, seed=0)
    assert outcome.epochs == epochs


def test_scratch_starts_from_other_weights_than_finetuning(climb: Climb) -> None:
    policy = climb.space.uniform(0.5)
    asked = with_options(climb, lr=1e-12)
    kept = trained(asked, policy, 1, seed=0)
    fresh = trained(with_options(asked, train="scratch-e"), policy, 1, seed=0)
    inherited = climb.pruned(policy).conv1.weight
    assert torch.allclose(kept.conv1.weight, inherited, atol=1e-4)
    assert not torch.allclose(fresh.conv1.weight, inherited, atol=1e-2)


def test_recipe_is_the_modes_own_but_for_what_is_asked(climb: Climb) -> None:
    assert (climb.recipe.lr, climb.recipe.batch_size) == (0.005, 32)
    asked = with_options(climb, lr=0.3, batch_size=16).recipe
    assert (asked.lr, asked.batch_size, asked.momentum) == (0.3, 16, 0.9)


def test_a_training_that_diverges_is_an_outcome(climb: Climb) -> None:
    outcome = with_options(climb, lr=1e12).rung(climb.space.uniform(0.5), 1, seed=0)
    assert outcome.failure is not None
    assert outcome.failure.kind == "diverged"
    assert outcome.failure.reason.startswith("diverged: the loss became")


def test_a_final_training_is_tested_and_brings_its_weights(climb: Climb) -> None:
    policy, asked = climb.space.uniform(0.5), with_options(climb, final_epochs=2)
    outcome = asked.final(FinalJob(policy, 4))
    network = trained(asked, policy, 2, seed=4)
    assert outcome.failure is None
    assert outcome.epochs == 2
    assert outcome.val_accuracy == evaluate(network, climb.task.validation)
    assert outcome.test_accuracy == evaluate(network, climb.task.test)
    assert outcome.weights.keys() == network.state_dict().keys()
    assert same(network, outcome.weights)


def test_a_final_training_that_diverges_is_an_outcome(climb: Climb) -> None:
    outcome = with_options(climb, lr=1e12).final(FinalJob(climb.space.uniform(0.5), 0))
    assert outcome.failure is not None
    assert outcome.failure.reason.startswith("diverged: the loss became")
    assert outcome.weights == {}


def test_a_final_training_is_as_asked_instead_of_the_runs_own(climb: Climb) -> None:
    policy = climb.space.uniform(0.5)
    how = Training(replace(climb.recipe, lr=1e-12), epochs=1, scratch=True, tested=False)
    outcome = climb.final(FinalJob(policy, 4, how, keep=False))
    assert (outcome.failure, outcome.epochs, outcome.weights) == (None, 1, {})
    assert math.isnan(outcome.test_accuracy)
    assert outcome.val_accuracy < 0.5  # fresh weights that did not move


class Cut(BaseException):
    """The system kills the process."""


@dataclasses.dataclass(frozen=True)
class CutAfter(InFolder):
    """The process is killed when a training of so many epochs has been saved."""

    epoch: int = 0

    def save(self, key: str, state: State) -> None:
        super().save(key, state)
        if state["epoch"] == self.epoch:
            raise Cut


@pytest.mark.parametrize("mode", ["finetune", "scratch-e", "scratch-b"])
def test_a_training_cut_short_goes_on_in_every_mode(
    climb: Climb, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    policy, asked = climb.space.uniform(0.5), with_options(climb, train=mode)
    how = asked.in_mode(policy, 3)
    whole = asked.trained(policy, how, seed=2)
    cut = dataclasses.replace(asked, checkpoints=CutAfter(tmp_path, how.epochs - 1))
    with pytest.raises(Cut):
        cut.trained(policy, how, seed=2)
    resumed = dataclasses.replace(asked, checkpoints=InFolder(tmp_path)).trained(policy, how, 2)
    assert same(resumed, whole.state_dict())
    assert list(tmp_path.iterdir()) == []


def trained(climb: Climb, policy: Policy, epochs: int, seed: int) -> torch.nn.Module:
    """In the run's own mode."""
    return climb.trained(policy, climb.in_mode(policy, epochs), seed)


def same(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


@dataclasses.dataclass(frozen=True)
class Asked(Nowhere):
    """Remembers the keys that it was asked for."""

    keys: list[str] = dataclasses.field(default_factory=list)

    def load(self, key: str) -> None:
        self.keys.append(key)


def test_checkpoints_of_unlike_trainings_have_unlike_keys(climb: Climb) -> None:
    asked, half = Asked(), climb.space.uniform(0.5)
    mine = dataclasses.replace(climb, checkpoints=asked)
    copy = pickle.loads(pickle.dumps(mine))
    trained(mine, half, 1, seed=0)
    trained(copy, half, 1, seed=0)
    assert copy.checkpoints.keys == asked.keys
    others = (
        (mine, climb.space.uniform(0.3), 1, 0),
        (mine, half, 2, 0),
        (mine, half, 1, 1),
        (with_options(mine, train="scratch-e"), half, 1, 0),
        (with_options(mine, lr=0.003), half, 1, 0),
    )
    for one, policy, epochs, seed in others:
        trained(one, policy, epochs, seed)
    first, *rest = asked.keys
    assert len(rest) == len(set(rest)) == 5
    assert first not in rest


def out_of_memory_in_a_surgery() -> ModelError:
    def exhausted(_: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    network = torch.nn.Identity()
    network.forward = exhausted  # type: ignore[method-assign]
    with pytest.raises(ModelError) as caught:
        forward(network, torch.zeros(1))
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (out_of_memory_in_a_surgery(), "out of memory", "out of memory: ModelError: "),
        (torch.OutOfMemoryError("CUDA out of memory.\nMore"), "out of memory", "out of memory: "),
        (RuntimeError("can't allocate memory: you tried"), "out of memory", "out of memory: "),
        (MemoryError(), "out of memory", "out of memory: MemoryError"),
        (KeyError("x"), "KeyError", "KeyError: 'x'"),
    ],
)
def test_failures_have_a_kind_and_one_line(error: Exception, kind: str, reason: str) -> None:
    found = failure(error)
    assert found.kind == kind
    assert found.reason.startswith(reason)
    assert "\n" not in found.reason


def test_the_next_rung_and_its_score_are_read_from_the_record(climb: Climb) -> None:
    record = TrialRecord(0, climb.space.full, "uniform", 1, 1.0, 1)
    assert climb.next_rung(record) == 0
    judged = dataclasses.replace(record, proxies={"adaptive_bn": 0.4, "predicted_damage": -1.0})
    assert climb.next_rung(judged) == 1
    trained = dataclasses.replace(judged, accuracy=(0.7,))
    assert (climb.next_rung(trained), climb.top) == (2, 2)
    assert [climb.score(trained, rung) for rung in (0, 1)] == [0.4, 0.7]
