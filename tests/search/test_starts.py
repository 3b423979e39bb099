"""The starts: uniform widths and global rankings at every budget."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from prune_ops import SENSITIVITIES
from search.config import SearchConfig
from search.policies.starts import global_ranking, start_budget_warning, starts
from spaces import Budget, Space

HALF = Budget.parse("0.5")


def flat(space: Space, value: float = 1.0) -> dict[str, torch.Tensor]:
    return {group.name: torch.full((group.channels,), value) for group in space.groups}


def test_every_start_meets_its_budget_and_says_where_it_comes_from(space: Space) -> None:
    torch.manual_seed(0)
    scores = {
        name: {group.name: torch.rand(group.channels) for group in space.groups}
        for name in ("l1", "second_order")
    }
    found = starts(space, scores, [HALF, Budget.parse("0.3")])
    assert [(start.origin, str(start.budget)) for start in found] == [
        *[("uniform", budget) for budget in ("0.5", "0.3")],
        *[(origin, budget) for budget in ("0.5", "0.3") for origin in ("l1", "second_order")],
    ]
    assert all(space.flops(s.policy) <= s.budget.limit(space.full_flops) for s in found)


def test_a_policy_found_twice_is_tried_once(space: Space) -> None:
    once = starts(space, {"taylor_2019": flat(space)}, [HALF])
    twice = starts(space, {"taylor_2019": flat(space), "second_order": flat(space)}, [HALF, HALF])
    assert [s.policy for s in twice] == [s.policy for s in once]


def test_where_criteria_are_searched_uniform_widths_are_tried_under_each(space: Space) -> None:
    torch.manual_seed(0)
    scores = {
        name: {group.name: torch.rand(group.channels) for group in space.groups}
        for name in ("l1", "taylor_2019")
    }
    found = starts(space, scores, [HALF], ("l1", "second_order"))
    assert [(start.origin, start.criterion) for start in found] == [
        ("uniform", "l1"),
        ("uniform", "second_order"),
        ("l1", "l1"),
        ("taylor_2019", "l1"),  # not searched itself, so it is tried under those that are
        ("taylor_2019", "second_order"),
    ]
    uniform = {**space.uniform(HALF)}
    assert found[1].params == {**uniform, "criterion": "second_order"}
    assert starts(space, {}, [HALF])[0].params == uniform


@pytest.mark.parametrize(
    ("starts", "options", "line"),
    [
        (20, {}, ""),  # a third of 30 is left
        (
            21,
            {},
            "30 trials are few: 21 policies are to be tried first (--starts), so --sampler nsga2 "
            "proposes 9; give more --trials or fewer --starts",
        ),
        (
            30,
            {},
            "30 trials are too few: 30 policies are to be tried first (--starts), so --sampler "
            "nsga2 proposes none; give more --trials or fewer --starts",
        ),
        (
            31,
            {},
            "30 trials are too few: 31 policies are to be tried first (--starts), so 1 of these is "
            "left out and --sampler nsga2 proposes none; give more --trials or fewer --starts",
        ),
        (
            32,
            {"criterion": "search"},
            "30 trials are too few: 32 policies are to be tried first (--starts), so 2 of these "
            "are left out and --sampler nsga2 proposes none; give more --trials or fewer "
            "--criteria or --starts",
        ),
    ],
)
def test_starts_that_take_most_of_the_trials(
    starts: int, options: dict[str, Any], line: str
) -> None:
    assert (
        start_budget_warning(starts, SearchConfig.of(trials=30, sampler="nsga2", **options)) == line
    )


def test_a_global_ranking_keeps_what_scores_highest(space: Space) -> None:
    scores = flat(space)
    scores["conv1"] = torch.full((16,), 9.0)
    scores["blocks.2.conv2"] = torch.linspace(0.0, 0.9, 64)
    policy = global_ranking(space, scores, Budget.parse("0.8"), "second_order")
    assert policy["conv1"] == 16
    assert policy["blocks.2.conv2"] < 64


@pytest.mark.parametrize(("criterion", "moved"), [("l1", False), ("second_order", True)])
def test_only_comparable_scores_are_ranked_as_they_are(
    space: Space, criterion: str, moved: bool
) -> None:
    torch.manual_seed(0)
    scores = {group.name: torch.rand(group.channels) for group in space.groups}
    rescaled = scores | {"conv1": scores["conv1"] * 1000}
    before = global_ranking(space, scores, HALF, criterion)
    assert (global_ranking(space, rescaled, HALF, criterion) != before) == moved


def test_an_importance_sets_the_widths_itself(space: Space) -> None:
    importance = SENSITIVITIES["iso_damage"]
    damages = {g.name: torch.ones(len(importance.widths(g))) for g in space.groups}
    damages["conv1"] *= 9
    found = starts(space, {"iso_damage": damages}, [HALF])
    assert [start.origin for start in found] == ["uniform", "iso_damage"]
    assert found[1].policy == importance.policy(space, damages, HALF)
    assert found[1].policy["conv1"] == 16
