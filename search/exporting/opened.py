"""A run opened for export: which of its networks, and the task that it was pruned for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

import prune_ops
import results
from results import FinalRecord, Run
from results.decision import UNPRUNED, decisions, model_name
from results.text import listed
from search.config import SearchConfig
from search.progress import Progress
from search.task.prepare import load_task
from search.task.task import Task
from spaces import Policy, UserError


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One of the networks in a run's ``models/``.

    Attributes:
        name: of its folder there, without second names: ``12``, ``uniform-0.5``, ``unpruned``.
        final: how it was trained and tested.
    """

    run: Run
    name: str
    final: FinalRecord

    @property
    def folder(self) -> Path:
        """Where it is saved, see `prune_ops.save`."""
        return self.run.folder / "models" / self.name

    @property
    def policy(self) -> Policy:
        """Its widths."""
        return prune_ops.load_policy(self.folder)

    def on(self, fresh: nn.Module) -> nn.Module:
        """The network, in eval mode, made of an unpruned one of the same architecture."""
        return prune_ops.load(fresh, self.folder).eval()


def choose(folder: Path, trial: str | None, storage: str | None = None) -> Chosen:
    """The network of a trial, or of a folder in ``models/``; by default the one to ship.

    Raises:
        UserError: no such run, or no such network in it.
    """
    run = results.load(folder, storage)
    best = {model_name(run, decision): decision.source for decision in decisions(run)}
    own = {_folder(final): final for final in run.finals}
    there = [name for name in own if (run.folder / "models" / name).is_dir()]
    if not there:
        raise UserError(
            f"{folder} must have networks in its models/, but has none; let the search end, or "
            f"export where they were trained{_elsewhere(run)}"
        )
    if trial is None and len(best) != 1:
        raise UserError(
            f"--trial must say which network, but it is not given and {folder} has "
            f"{listed(sorted(best)) or 'none to ship'}; give one of {', '.join([*best, *there])}"
        )
    name = next(iter(best)) if trial is None else trial
    name = best.get(name, name)
    if name not in there:
        raise UserError(
            f"--trial must be a network that was trained to the end, but {folder} has no "
            f"{name!r} in its models/; give one of {', '.join([*best, *there])}"
        )
    return Chosen(run=run, name=name, final=own[name])


def task_of(run: Run, progress: Progress) -> Task:
    """The task of a run that was begun by a command, on the CPU, its network with fresh weights.

    Raises:
        UserError: the task was made in Python, or data or model are not there any more.
    """
    if not run.provenance.command:
        raise UserError(
            f"the task of {run.folder} was made in Python, so it must be given, but is not; call "
            "search.export(run, task=...)"
        )
    config = SearchConfig.from_dict(run.provenance.config)
    config = config.having(device="cpu", weights=None, train_loop=None, sparsity=0.0)
    return load_task(config, run.folder.parent / ".cache", progress)


def _folder(final: FinalRecord) -> str:
    if final.role == "baseline":
        return UNPRUNED
    return f"uniform-{final.budget}" if final.number is None else str(final.number)


def _elsewhere(run: Run) -> str:
    return f": {run.provenance.folder}" if run.provenance.folder else ""
