"""The network that a run is of: what must stay as it was for the run's trials to be of one network.

>>> check(study.user_attrs[NETWORK], fingerprint(task, space), folder)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from search.folder import Folder
from search.task.task import Task
from spaces import Space, UserError
from spaces.fingerprint import content

NETWORK = "network"
"""Attribute of a study that one process has for itself: the fingerprint it was begun with."""

CODE = {"graph", "groups", "flops"}
"""What the code of the model alone decides."""


def fingerprint(task: Task, space: Space) -> dict[str, Any]:
    """What two processes must agree on for their trials to be of the same network."""
    digest = hashlib.sha256()
    for name, values in sorted(task.model.state_dict().items()):
        digest.update(name.encode())
        for leaf in tree_leaves(values):  # of extra state there may be several, and no tensors
            digest.update(content(leaf) if isinstance(leaf, Tensor) else repr(leaf).encode())
    return of_code(space) | {
        "images": [len(split) for split in (task.train, task.validation, task.test)],
        "weights": digest.hexdigest(),
    }


def of_code(space: Space) -> dict[str, Any]:
    """The part that is known before there are weights, and what the graph was made with."""
    return {
        "groups": {group.name: list(group.choices) for group in space.groups},
        "flops": space.full_flops,
        "graph": space.fingerprint,
        "torch": torch.__version__,
    }


def check(there: Mapping[str, Any], here: Mapping[str, Any], folder: Folder) -> None:
    """Refuse another network than that of the run.

    Args:
        there: the fingerprint it was begun with; what an older version did not store is not
            compared, and graphs are only if one version of torch made both.
        here: the fingerprint, or a part of it.

    Raises:
        UserError: they differ.
    """
    different = _different(there, here)
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


def _different(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    comparable = set(here) & set(there) - {"torch"}
    if there.get("torch") != here.get("torch"):
        comparable -= {"graph"}
    return [name for name in here if name in comparable and here[name] != there[name]]


def _remedy(different: list[str], folder: Folder) -> str:
    if CODE & set(different):
        return "restore the model's code"
    if "images" in different:
        return "restore the data"
    given = folder.config.task.weights is not None
    return "restore the file of --weights" if given else "trained anew they came out otherwise"


def _hint(different: list[str], folder: Folder) -> str:
    if "graph" in different:
        return "give every process the same code of the model"
    if different == ["weights"] and folder.config.task.weights is None:
        return "trained here they came out otherwise; give every process the same file by --weights"
    return "give every process the same --data and --weights"
