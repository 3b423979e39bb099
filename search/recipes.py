"""Recipes of trainings that are not in the run's own mode: arms, sweeps, compressed networks."""

from __future__ import annotations

import dataclasses

from search.evaluator import Evaluator
from search.train import Recipe


def recipe(evaluator: Evaluator, usual: Recipe) -> Recipe:
    """The usual recipe with the batches of the run, which are the same in every arm."""
    suited = usual.suited_to(len(evaluator.task.train))
    asked = evaluator.config.training.batch_size
    return dataclasses.replace(suited, batch_size=asked or suited.batch_size)
