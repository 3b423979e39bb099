"""What a run scores before its first trial: channels by criteria, groups by sensitivities."""

from __future__ import annotations

from collections.abc import Mapping

import prune_ops
from prune_ops import CRITERIA, Scores, normalised
from search.config import SearchConfig
from search.evaluation.sensitivity import damages
from search.progress import Progress
from search.task.task import Task
from spaces import ModelError, Space
from spaces.errors import in_one_line


def criteria(config: SearchConfig) -> list[str]:
    """The criteria that choose channels and those that rank them for the starts."""
    ranked = [name for name in config.policies.starts if name in CRITERIA]
    return sorted({config.reference, *config.searched, *ranked})


def score(
    task: Task, space: Space, config: SearchConfig, progress: Progress
) -> Mapping[str, Scores]:
    """The scores of every channel by each criterion of the run, and the damages of every group by
    each sensitivity, under their names.

    Raises:
        UserError: as ``prune_ops.score``, or the model fails on the images.
    """
    must = "the model must run on training images, but scoring it failed with"
    with in_one_line(ModelError, must, "try a forward and a backward pass"):
        scores = prune_ops.score(
            task.model, space, task.calibration(), criteria(config), seed=config.policies.seed
        )
        return scores | damages(task, space, config, scores[config.reference], progress)


def selection_scores(scores: Mapping[str, Scores], config: SearchConfig) -> dict[str, Scores]:
    """The scores of the criteria that choose channels, as an ``Evaluator`` takes them."""
    return {
        name: in_one_unit(scores[name], name) for name in config.searched or (config.reference,)
    }


def in_one_unit(scores: Scores, criterion: str) -> Scores:
    """A criterion's scores, comparable across groups, as predicted damage adds them up."""
    return scores if CRITERIA[criterion].comparable else normalised(scores)
