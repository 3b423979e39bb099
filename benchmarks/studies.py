"""Studies as a long search leaves them, for benchmarks; made up in seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

import spaces
from results import database
from results.optuna_private import storage_of
from results.record import TrialRecord
from search import models
from search.policies.parameters import distributions
from search.policies.sampler import BudgetSampler
from search.study.storage import open_study
from spaces import Budget, Policy, Space

SHAPES = {"digits_cnn": (1, 8), "resnet20": (3, 32), "resnet56": (3, 32)}


def discovered(name: str) -> Space:
    """The space of a model by name."""
    channels, size = SHAPES.get(name, (3, 224))
    model = models.build(name, classes=10, in_channels=channels)
    return spaces.discover(model, (torch.zeros(1, channels, size, size),))


def ended(space: Space, number: int, rng: np.random.Generator) -> FrozenTrial:
    """A trial as a search leaves it: two in three were stopped at rung 0."""
    drawn = {group.name: int(rng.choice(group.choices)) for group in space.groups}
    policy = space.project(Policy(drawn), Budget.parse("0.5"))
    complete, flops, score = number % 3 == 0, space.flops(policy), float(rng.normal(0.8, 0.05))
    record = TrialRecord(
        number=number,
        policy=policy,
        origin="tpe",
        flops=flops,
        flops_fraction=flops / space.full_flops,
        params=space.params(policy),
        mode="finetune",
        seed=number,
        state="complete" if complete else "stopped",
        proxies={"adaptive_bn": score},
        accuracy=(score, score) if complete else (),
        epochs=(1, 3) if complete else (),
    )
    return create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        values=[score, float(flops)] if complete else None,
        params=dict(policy),
        distributions={**distributions(space)},
        user_attrs={"record": record.to_json()},
        system_attrs={"budget_sampler": dict(policy), **_generation(number)},
    )


def _generation(number: int) -> dict[str, int]:
    """Evolutionary samplers mark their trials with it."""
    return {"NSGAIISampler:generation": number // 150, "NSGAIIISampler:generation": number // 150}


def fill(study: Study, space: Space, trials: int) -> None:
    """Up to so many trials in all."""
    have = len(study.get_trials(deepcopy=False))
    rng = np.random.default_rng(have)
    study.add_trials([ended(space, number, rng) for number in range(have, trials)])


def where_to(url: str | None) -> str:
    """The storage in words, without a password."""
    return database.shown(url) if url and "://" in url else url or "SQLite"


@contextmanager
def opened(url: str | None, sampler: BudgetSampler) -> Iterator[Study]:
    """A study of its own: in a run's SQLite file, in memory, or in a database."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is None:
        with (
            tempfile.TemporaryDirectory() as folder,
            open_study(Path(folder) / "study.db", sampler) as opened_study,
        ):
            yield opened_study.study
        return
    storage = None if url == "memory" else url
    directions = ["maximize", "minimize"]
    study = optuna.create_study(directions=directions, sampler=sampler, storage=storage)
    try:
        yield study
    finally:
        optuna.delete_study(study_name=study.study_name, storage=storage_of(study))
