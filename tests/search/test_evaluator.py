"""The evaluator: one rung of a policy, measured on digits; failures are part of the result."""

from __future__ import annotations

import dataclasses
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluators import own_job

import prune_ops
import spaces
from prune_ops.running import forward
from results import TrialRecord
from results.record import Candidate
from results.rules import next_rung
from results.training import TrainingSpec
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult, TrainingJob, WeightSource, failure_of
from search.task.building import build_task
from search.training import checkpoints
from search.training.checkpoints import Checkpoints, InFolder, State
from search.training.loop import evaluate
from spaces import ModelError, Policy, copied
from spaces.state import state_of


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    cache = tmp_path_factory.mktemp("cache")
    task = build_task(
        "digits_cnn", train_images=256, baseline_epochs=8, cache=Path(cache), device="cpu"
    )
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["l1"])
    return Evaluator(
        task=task,
        space=space,
        scores={"l1": prune_ops.normalised(scores["l1"])},
        config=SearchConfig.of(criterion="l1"),
    )


def with_options(evaluator: Evaluator, **options: Any) -> Evaluator:
    return dataclasses.replace(evaluator, config=evaluator.config.having(**options))


def at(evaluator: Evaluator, policy: Policy, rung: int, seed: int) -> RungResult:
    return evaluator.evaluate_rung(Candidate(policy), rung, seed)


def test_rung_0_measures_every_proxy_and_the_rungs_above_accuracy(evaluator: Evaluator) -> None:
    policy = evaluator.space.uniform(0.5)
    judged, trained = at(evaluator, policy, 0, 1), at(evaluator, policy, 2, 1)
    assert judged.failure is None
    assert judged.proxies.keys() == {"predicted_damage", "reconstructed"}
    assert judged.proxies["predicted_damage"] < 0 <= judged.proxies["reconstructed"] <= 1
    assert trained.epochs == 3
    assert 0.2 < trained.accuracy <= 1
    assert judged.seconds > 0


def test_a_rung_is_the_same_for_the_same_seed_and_leaves_the_model_alone(
    evaluator: Evaluator,
) -> None:
    before = {name: value.clone() for name, value in evaluator.task.model.state_dict().items()}
    policy = evaluator.space.uniform(0.3)
    copy = pickle.loads(pickle.dumps(evaluator))
    first, again = at(evaluator, policy, 1, 5), at(copy, policy, 1, 5)
    assert first.accuracy == again.accuracy
    after = evaluator.task.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_why_steps_were_not_replayed_comes_back_with_the_result(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "Mine.count changes with every step"
    monkeypatch.setattr("search.evaluation.evaluator.train", lambda *_, **__: reason)
    policy = evaluator.space.uniform(0.5)
    assert at(evaluator, policy, 1, 1).not_replayed == reason
    assert at(evaluator, policy, 0, 1).not_replayed == ""
    assert evaluator.train_final(own_job(evaluator, policy, 1)).not_replayed == reason


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[bool]:
    """One entry for every preparation of the surgery from now on."""
    kind, prepared = type(prune_ops.SURGERIES[name]), []
    original = kind.prepare

    def prepare(self: Any, *args: Any) -> prune_ops.Cutter:
        prepared.append(True)
        return original(self, *args)

    monkeypatch.setattr(kind, "prepare", prepare)
    return prepared


def test_the_unpruned_network_is_measured_once_for_all_candidates(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = counted(monkeypatch, "reconstruct")
    own = with_options(
        evaluator, surgery="reconstruct", proxies=["reconstructed"], rank_by="reconstructed"
    )
    policies = [own.space.uniform(budget) for budget in (0.5, 0.7, 0.5)]
    results = [at(own, policy, 0, 1).proxies for policy in policies]
    assert results[0] == results[2]
    assert len(prepared) == 1  # the proxy judges what the surgery made
    plain = with_options(own, surgery="plain")
    again = [at(plain, policy, 0, 1).proxies for policy in policies]
    assert again[0] == again[2]
    assert len(prepared) == 2  # by the proxy, from images of its own


def test_networks_of_several_sources_are_not_taken_for_each_other(evaluator: Evaluator) -> None:
    other = copied(evaluator.task.model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    source = WeightSource(evaluator.scores["l1"], other)
    own = dataclasses.replace(
        with_options(evaluator, surgery="reconstruct"), sources={"doubled": source}
    )
    policy = own.space.uniform(0.5)
    first, doubled, again = (
        state_of(own.pruned(Candidate(policy, name))) for name in ("", "doubled", "")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], doubled[name]) for name in first)


def test_what_was_prepared_is_not_pickled(evaluator: Evaluator) -> None:
    own = with_options(
        evaluator, surgery="reconstruct", proxies=["reconstructed"], rank_by="reconstructed"
    )
    fresh = len(pickle.dumps(own))
    policy = own.space.uniform(0.5)
    judged = at(own, policy, 0, 1)
    payload = pickle.dumps(own)
    assert len(payload) == fresh
    assert at(pickle.loads(payload), policy, 0, 1).proxies == judged.proxies


@pytest.mark.parametrize(("mode", "epochs"), [("scratch-e", 1), ("scratch-b", 4)])
def test_scratch_b_takes_the_computation_of_the_unpruned_network(
    evaluator: Evaluator, mode: str, epochs: int
) -> None:
    result = at(with_options(evaluator, train=mode), evaluator.space.uniform(0.25), 1, 0)
    assert result.epochs == epochs


def test_scratch_starts_from_other_weights_than_finetuning(evaluator: Evaluator) -> None:
    policy = evaluator.space.uniform(0.5)
    asked = with_options(evaluator, lr=1e-12)
    kept = trained(asked, policy, 1, seed=0)
    fresh = trained(with_options(asked, train="scratch-e"), policy, 1, seed=0)
    inherited = evaluator.pruned(Candidate(policy)).conv1.weight
    assert torch.allclose(kept.conv1.weight, inherited, atol=1e-4)
    assert not torch.allclose(fresh.conv1.weight, inherited, atol=1e-2)


def test_recipe_is_the_modes_own_but_for_what_is_asked(evaluator: Evaluator) -> None:
    full = evaluator.space.full
    spec = evaluator.specs.in_mode(full, 3)
    recipe = evaluator.specs.recipe(spec)
    assert spec == TrainingSpec(0.005, 3)
    assert (recipe.lr, recipe.batch_size) == (0.005, 32)
    asked = with_options(evaluator, lr=0.3, batch_size=16).specs
    recipe = asked.recipe(asked.in_mode(full, 3))
    assert (recipe.lr, recipe.batch_size, recipe.momentum) == (0.3, 16, 0.9)


def test_a_training_that_diverges_is_an_outcome(evaluator: Evaluator) -> None:
    result = at(with_options(evaluator, lr=1e12), evaluator.space.uniform(0.5), 1, 0)
    assert result.failure is not None
    assert result.failure.kind == "diverged"
    assert result.failure.reason.startswith("diverged: the loss became")


def test_a_final_training_is_tested_and_brings_its_weights(evaluator: Evaluator) -> None:
    policy, asked = evaluator.space.uniform(0.5), with_options(evaluator, final_epochs=2)
    result = asked.train_final(own_job(asked, policy, 4, returns_weights=True))
    network = trained(asked, policy, 2, seed=4)
    assert result.failure is None
    assert result.val_accuracy == evaluate(network, evaluator.task.validation)
    assert result.test_accuracy == evaluate(network, evaluator.task.test)
    assert result.weights.keys() == network.state_dict().keys()
    assert same(network, result.weights)


def test_a_final_training_that_diverges_is_an_outcome(evaluator: Evaluator) -> None:
    asked = with_options(evaluator, lr=1e12)
    result = asked.train_final(own_job(asked, evaluator.space.uniform(0.5), 0))
    assert result.failure is not None
    assert result.failure.reason.startswith("diverged: the loss became")
    assert result.weights == {}


def test_a_final_training_is_as_its_spec_says(evaluator: Evaluator) -> None:
    spec = TrainingSpec(1e-12, epochs=1, scratch=True)
    job = TrainingJob(Candidate(evaluator.space.uniform(0.5)), spec, 4, tested=False)
    result = evaluator.train_final(job)
    assert (result.failure, result.weights) == (None, {})
    assert math.isnan(result.test_accuracy)
    assert result.val_accuracy < 0.5  # fresh weights that did not move


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
    evaluator: Evaluator, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    policy, asked = evaluator.space.uniform(0.5), with_options(evaluator, train=mode)
    how, whose = asked.specs.in_mode(policy, 3), Candidate(policy)
    whole = asked.trained(whose, how, seed=2)
    cut = dataclasses.replace(asked, checkpoints=CutAfter(tmp_path, how.epochs - 1))
    with pytest.raises(Cut):
        cut.trained(whose, how, seed=2)
    resumed = dataclasses.replace(asked, checkpoints=InFolder(tmp_path)).trained(whose, how, 2)
    assert same(resumed, whole.state_dict())
    assert list(tmp_path.iterdir()) == []


def trained(evaluator: Evaluator, policy: Policy, epochs: int, seed: int) -> torch.nn.Module:
    """In the run's own mode."""
    return evaluator.trained(Candidate(policy), evaluator.specs.in_mode(policy, epochs), seed)


def same(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


@dataclasses.dataclass(frozen=True)
class Asked(Checkpoints):
    """Remembers the keys that it was asked for."""

    keys: list[str] = dataclasses.field(default_factory=list)

    def load(self, key: str) -> None:
        self.keys.append(key)


def test_checkpoints_of_unlike_trainings_have_unlike_keys(evaluator: Evaluator) -> None:
    asked, half = Asked(), evaluator.space.uniform(0.5)
    mine = dataclasses.replace(evaluator, checkpoints=asked)
    copy = pickle.loads(pickle.dumps(mine))
    trained(mine, half, 1, seed=0)
    trained(copy, half, 1, seed=0)
    assert copy.checkpoints.keys == asked.keys
    others = (
        (mine, evaluator.space.uniform(0.3), 1, 0),
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
    found = failure_of(error)
    assert found.kind == kind
    assert found.reason.startswith(reason)
    assert "\n" not in found.reason


def test_the_next_rung_and_its_score_are_read_from_the_record(evaluator: Evaluator) -> None:
    record = TrialRecord(0, evaluator.space.full, "uniform", 1, 1.0, 1)
    assert next_rung(record) == 0
    judged = dataclasses.replace(record, proxies={"reconstructed": 0.4, "predicted_damage": -1.0})
    assert next_rung(judged) == 1
    trained = dataclasses.replace(judged, accuracy=(0.7,))
    assert (next_rung(trained), evaluator.top) == (2, 2)
    assert [evaluator.score(trained, rung) for rung in (0, 1)] == [0.4, 0.7]
