"""What there is: the names that options take, and the runs in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import prune_ops
import results
from results import text
from results.compare import verdicts
from search import data, models
from search.folder import finished
from search.naming import explained
from search.policies import SAMPLERS
from spaces.errors import UserError, brief, unknown

LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "criteria": lambda: explained(prune_ops.CRITERIA),
    "proxies": lambda: explained(prune_ops.PROXIES),
    "sensitivities": lambda: explained(prune_ops.SENSITIVITIES),
    "surgeries": lambda: explained(prune_ops.SURGERIES),
    "samplers": lambda: explained(SAMPLERS),
    "arms": lambda: {name: arm.explained for name, arm in results.ARMS.items()},
    "compression": lambda: explained(prune_ops.WAYS),
    "models": lambda: dict.fromkeys(models.names(), ""),
    "data": lambda: explained(data.SOURCES),
}
"""Of what there are lists: each is made when it is asked for."""


def listed_names(what: str | None) -> dict[str, str]:
    """The names of one list with a line on each; without ``what`` the lists.

    Raises:
        UserError: there is no such list.
    """
    if what is None:
        return {name: text.some(list(made()), 5) for name, made in LISTS.items()}
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    return LISTS[what]()


@dataclass(frozen=True, slots=True)
class SeenRun:
    """One run: its name, whether it has ended, and the verdicts, of an unfinished one so far."""

    name: str
    state: str
    verdicts: tuple[str, ...] = ()


def overview(folder: Path) -> list[SeenRun]:
    """The runs in a folder, the one that was begun last at the end."""
    begun = sorted(folder.glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    return [_seen(file.parent) for file in begun]


def _seen(path: Path) -> SeenRun:
    try:
        run = results.load(path)
    except UserError as error:
        return SeenRun(path.name, f"cannot be read: {brief(error)}")
    so_far = "" if finished(path) else "so far: "
    said = tuple(f"{so_far}{v.sentence}" for v in verdicts(run.finals, metric=run.metric))
    return SeenRun(path.name, ", ".join(_state(path, run)), said)


def _state(path: Path, run: results.Run) -> Iterator[str]:
    ended = sum(record.state != "running" for record in run.records)
    asked = run.provenance.settings.trials
    if finished(path):
        yield f"finished, {text.plural(ended, 'trial')}"
    else:
        yield f"unfinished, {ended} of {asked or '?'} trials"
    if run.provenance.task:
        yield run.provenance.task
    if run.provenance.started:
        yield run.provenance.started
