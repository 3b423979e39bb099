"""The fingerprint of a run's network, so that all trials of a run prune one network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from search.folder import Folder
from search.task.task import Task
from search.training.own_loop import name_of
from spaces import Space, UserError
from spaces.fingerprint import content

NETWORK = "network"
"""Attribute of an unshared study: the fingerprint it was begun with."""

LOOP = "training loop"
"""The part of the fingerprint that names the user's own; empty where ours trains."""

CODE = {"graph", "groups", "flops"}
"""Parts of the fingerprint that follow from the model's code alone."""


def fingerprint(task: Task, space: Space) -> dict[str, Any]:
    """Structure, weights, data sizes and training loop: equal for two processes that prune one
    network."""
    digest = hashlib.sha256()
    for name, values in sorted(task.model.state_dict().items()):
        digest.update(name.encode())
        for leaf in tree_leaves(values):  # extra state may be nested, and no tensor
            digest.update(content(leaf) if isinstance(leaf, Tensor) else repr(leaf).encode())
    return of_code(space) | {
        "images": [len(split) for split in (task.train, task.validation, task.test)],
        LOOP: "" if task.train_loop is None else name_of(task.train_loop),
        "weights": digest.hexdigest(),
    }


def of_code(space: Space) -> dict[str, Any]:
    """The part that does not need weights, and the version of torch that made the graph."""
    return {
        "groups": {group.name: list(group.choices) for group in space.groups},
        "flops": space.full_flops,
        "graph": space.fingerprint,
        "torch": torch.__version__,
    }


def check(stored: Mapping[str, Any], current: Mapping[str, Any], folder: Folder) -> None:
    """Refuse another network than that of the run, with a `UserError`.

    Args:
        stored: the fingerprint the run was begun with. What an older version did not store is not
            compared; graphs are only if one version of torch made both.
        current: the fingerprint, or a part of it.
    """
    comparable = set(current) & set(stored) - {"torch"}
    if stored.get("torch") != current.get("torch"):
        comparable -= {"graph"}
    different = [n for n in current if n in comparable and current[n] != stored[n]]
    if not different:
        return
    named = [n if n != "graph" else "graph (another activation, say)" for n in different]
    run = folder.config.run
    if run.storage is None:
        raise UserError(
            f"a run goes on with the network it began with, but that of {folder.path} differs in "
            f"its {' and '.join(named)}; {_remedy(different, folder)}, or choose another --name"
        )
    raise UserError(
        f"processes that share study {run.name!r} must prune one network, but its "
        f"{' and '.join(named)} differ from those it was begun with; {_hint(different, folder)}"
    )


def _remedy(different: list[str], folder: Folder) -> str:
    if CODE & set(different):
        return "restore the model's code"
    if "images" in different:
        return "restore the data"
    if LOOP in different:
        return "give the loop that it was trained by"
    if folder.config.task.task is not None:
        return "let the function of --task return the same ones each time, from a file say"
    given = folder.config.task.weights is not None
    return (
        "restore the file of --weights" if given else "trained here again they came out otherwise"
    )


def _hint(different: list[str], folder: Folder) -> str:
    if "graph" in different:
        return "give every process the same code of the model"
    if different == [LOOP]:
        return "give every process the same training loop"
    if different == ["weights"] and folder.config.task.weights is None:
        return "trained here they came out otherwise; give every process the same file by --weights"
    return "give every process the same --data and --weights"
