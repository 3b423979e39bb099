"""SearchConfig: one tree, checked as it is made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from search.config import SearchConfig
from spaces import UserError


def test_options_find_their_place_by_flat_names() -> None:
    config = SearchConfig.of(budget=0.5, trials=64, rungs=[1, 3], model="resnet20")
    assert config.policies.budget == ("0.5",)
    assert config.policies.trials == 64
    assert config.judging.rungs == (1, 3)
    assert config.task.model == "resnet20"
    assert config.training == SearchConfig().training


def test_several_budgets_in_any_form() -> None:
    assert SearchConfig.of(budget=[0.7, "60M"]).policies.budget == ("0.7", "60M")


def test_json_gives_the_same_config_back() -> None:
    config = SearchConfig.of(budget=[0.7, 0.5], lr=0.1, starts=["l1"], workers=2)
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_differences_are_named_and_free_options_are_none() -> None:
    one = SearchConfig.of(budget=0.5, workers=2, name="a")
    other = SearchConfig.of(budget=[0.5, 0.3], seed=1, name="b")
    assert one.differences(one.having(workers=1, runs_dir="there")) == []
    assert one.differences(other) == [
        "--budget 0.5 there, 0.5 0.3 here",
        "--seed 0 there, 1 here",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": "half"}, "budget must be a fraction in (0, 1] or absolute flops"),
        ({"budget": 0}, "budget must be a fraction in (0, 1]"),
        ({"budget": "-0.5"}, "but got '-0.5'"),
        ({"budget": 1.5}, "but got 1.5"),
        ({"criterion": "second_ordr"}, "unknown criterion 'second_ordr', did you mean 'second_o"),
        (
            {"criteria": ["l1", "l2"]},
            "--criteria are those of --criterion search, but got --criter",
        ),
        ({"criterion": "search", "criteria": ["l1"]}, "must name at least 2 different ones, but"),
        ({"criterion": "search", "criteria": ["l1", "l1"]}, "--criteria must name different ones,"),
        (
            {"criterion": "search", "criteria": ["l1", "weight_sum"]},
            "but got l1 weight_sum, and weight_sum is l1 by another name; leave one of the two out",
        ),
        (
            {"criterion": "search", "starts": ["obs"]},
            "must name at least 2 different ones, but got obs",
        ),
        ({"criterion": "search", "criteria": ["l1", "l3"]}, "unknown criteria 'l3', did you mea"),
        ({"criterion": "search", "train": "scratch-b"}, "--criterion search needs --train finet"),
        ({"sampler": "tp"}, "unknown sampler 'tp', did you mean 'tpe'?"),
        ({"train": "scratch"}, "unknown train 'scratch', did you mean 'scratch-"),
        ({"proxies": ["adaptivebn"]}, "unknown proxies 'adaptivebn', did you mean 'adaptive_bn'?"),
        ({"starts": ["l3"]}, "unknown starts 'l3', did you mean 'l"),
        ({"engine": "rays"}, "unknown engine 'rays', did you mean 'ray'?"),
        ({"address": "auto"}, "--address is of a Ray cluster, but got --engine local; add"),
        ({"gpus_per_trial": 0.5}, "--gpus-per-trial is for a Ray cluster, but got --engine local"),
        (
            {"cpus_per_trial": 2},
            "--cpus-per-trial is for a Ray cluster, but got --engine local; add",
        ),
        ({"sparsity": 1e308}, "--sparsity must be between 0 and 1, but got 1e+308"),
        ({"lr": 1e308}, "--lr must be at most 1,099,511,627,776.0, but got 1e+308"),
        (
            {"distill": True, "distill_temperature": 1e308},
            "--distill-temperature must be at most 1,000,000.0, but got 1e+308",
        ),
        ({"cpus_per_trial": 0.0}, "--cpus-per-trial must be above 0, but got 0"),
        ({"cpus_per_trial": -1.0}, "--cpus-per-trial must be at least 0, but got -1.0"),
        ({"proxies": ["predicted_damage"]}, "--rank-by must be one of the --proxies"),
        ({"trials": 0}, "--trials must be at least 1, but got 0"),
        ({"workers": 0}, "--workers must be at least 1"),
        ({"rungs": [3, 1]}, "--rungs must be rising numbers of epochs, but got 3 1"),
        ({"eta": 1.0}, "--eta must be above 1"),
        ({"explore": 1.5}, "--explore must be between 0 and 1"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"layer_epochs": 0}, "--layer-epochs must be at least 1, but got 0"),
        (
            {"layer_epochs": 2},
            "--layer-epochs are of --schedule layerwise, but got --schedule one-shot; add --sched",
        ),
        ({"distill": True, "distill_weight": 0.0}, "--distill-weight must be above 0, but got 0"),
        ({"distill": True, "distill_weight": 1.5}, "--distill-weight must be at most 1, but got 1"),
        (
            {"distill": True, "distill_temperature": 0.0},
            "--distill-temperature must be above 0, bu",
        ),
        (
            {"distill_weight": 0.5},
            "--distill-weight is of distillation, but nothing is distilled; add --distill, or leav",
        ),
        (
            {"distill_temperature": 2.0, "distill": False},
            "add --distill, or leave --distill-temperature out",
        ),
        ({"distill": 1}, "--distill must be True or False, but got 1"),
        (
            {"compression_baselines": ["magnitude", "magnitude"]},
            "--compression-baselines must name different ones, but got magnitude magnitude; name e",
        ),
        ({"surgery": "fold"}, "unknown surgery 'fold', did you mean 'fold_beta'?"),
        ({"schedule": "layer-wise"}, "unknown schedule 'layer-wise', did you mean 'layerwise'?"),
        (
            {"surgery": "scale", "train": "scratch-e"},
            "--surgery scale acts on inherited weights, but --train scratch-e has none; use "
            "--train finetune, or leave --surgery out",
        ),
        (
            {"schedule": "layerwise", "train": "scratch-b"},
            "--schedule layerwise acts on inherited weights, but --train scratch-b has none",
        ),
        ({"sparsity": -1.0}, "--sparsity must be between 0 and 1, but got -1.0"),
        (
            {"sparsity": 1e-4, "weights": "r.pt"},
            "--sparsity is of the unpruned network's training, but --weights are trained already",
        ),
        ({"name": "a/b"}, "--name must name a folder in --runs-dir"),
        ({"name": ".."}, "--name must name a folder in --runs-dir, without a dot before it, but"),
        ({"name": "."}, "without a dot before it, but got '.'; choose another name"),
        ({"name": ".cache"}, "without a dot before it, but got '.cache'; choose another name"),
        ({"name": "a\nb"}, "--name must be plain text, but got 'a\\nb'"),
        ({"weights": "\udcff.pt"}, "--weights must be plain text, but got '\\udcff.pt'"),
        ({"name": "x" * 300}, "--name must have at most 255 bytes between slashes, but got 300"),
        ({"trials": "many"}, "--trials must be a whole number, but got 'many'"),
        ({"trials": True}, "--trials must be a whole number, but got True"),
        ({"rungs": 3}, "--rungs must be several values, each a whole number, but got 3"),
        ({"lr": "fast"}, "--lr must be a number or None, but got 'fast'"),
        ({"trials": 10**26}, "--trials must be at most 1,000,000, but got 100,000,000,000,000,000"),
        ({"rungs": (1, 10**9)}, "--rungs must be at most 1,000,000, but got 1,000,000,000"),
        ({"image_size": 10**6}, "--image-size must be at most 8,192, but got 1,000,000"),
        ({"train_images": 0}, "--train-images must be at least 1, but got 0"),
        ({"trails": 5}, "unknown option 'trails', did you mean 'trials'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refusal:
        SearchConfig.of(**options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_run_that_does_not_say_whether_it_distils_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is of a version that could not, whatever the default has become."""
    stored = SearchConfig.of(lr=0.1).to_dict()
    for name in ("distill", "distill_weight", "distill_temperature"):
        del stored["training"][name]
    assert SearchConfig.from_dict(stored) == SearchConfig.of(lr=0.1, distill=False)
    of = SearchConfig.of
    monkeypatch.setattr(SearchConfig, "of", lambda **given: of(**{"distill": True, **given}))
    assert not SearchConfig.from_dict(stored).training.distill


def test_the_criteria_that_are_searched_and_the_one_that_serves_all() -> None:
    fixed = SearchConfig.of(criterion="l1")
    assert (fixed.searched, fixed.reference) == ((), "l1")
    usual = SearchConfig.of(criterion="search", starts=["l2", "l1"])
    assert (usual.searched, usual.reference) == (("l2", "l1", "obs"), "obs")
    named = SearchConfig.of(criterion="search", criteria=["l2", "l1"])
    assert (named.searched, named.reference) == (("l2", "l1"), "l2")
    assert SearchConfig.from_dict(named.to_dict()) == named
