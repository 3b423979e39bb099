"""Recipes of trainings that are not in the run's own mode: arms, sweeps, compressed networks."""

from __future__ import annotations

import dataclasses

from search.train import Recipe
from search.trial import Climb


def recipe(climb: Climb, usual: Recipe) -> Recipe:
    """The usual recipe with the batches of the run, which are the same in every arm."""
    suited = usual.suited_to(len(climb.task.train))
    asked = climb.config.training.batch_size
    return dataclasses.replace(suited, batch_size=asked or suited.batch_size)
