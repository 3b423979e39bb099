"""A half-trained digits network with its evaluator, and what a comparison of it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

import prune_ops
import spaces
from results.record import Candidate
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.plans.finals import Finalist
from search.task.building import build_task
from spaces import Budget

HALF = Budget.parse("0.5")


@pytest.fixture(scope="package")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    cache = tmp_path_factory.mktemp("cache")
    task = build_task(
        "digits_cnn", train_images=256, baseline_epochs=4, cache=Path(cache), device="cpu"
    )
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, task.calibration(), ["second_order"])
    config = SearchConfig.of(final_epochs=2, criterion="second_order", surgery="plain")
    return Evaluator(task=task, space=space, scores=scores, config=config)


@pytest.fixture(scope="package")
def contenders(evaluator: Evaluator) -> list[Finalist]:
    """Two searched policies, the best first, and uniform widths, at budget 0.5."""
    space = evaluator.space
    searched = [
        space.policy(space.project(space.widths(space.uniform(b)), HALF)) for b in (0.4, 0.3)
    ]
    return [
        Finalist("trial 7", Candidate(searched[0], "second_order"), HALF, 7, best=True),
        Finalist("trial 3", Candidate(searched[1], "second_order"), HALF, 3),
        Finalist("uniform@0.5", Candidate(space.uniform(HALF), "second_order"), HALF),
    ]
