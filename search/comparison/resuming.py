"""What a comparison starts from: a finished run, and the results of an earlier comparison.

What is refused is a `UserError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import results
from results import Comparison, Provenance, Run
from results.text import listed
from search.comparison.config import CompareConfig
from search.comparison.structures import SLIMMING
from search.evaluation.evaluator import Evaluator
from search.folder import Folder, finished, resolve_folder
from search.options import flag
from search.study.open import comparable
from search.training.modes import ADAMW
from spaces import Space, UserError

UNKNOWN_EPOCHS = 20
"""Assumed epochs of given weights, without ``--base-epochs``."""


def options_of(folder: Folder, options: Mapping[str, Any]) -> CompareConfig:
    """These options, completed by those of an earlier comparison of the run."""
    asked = CompareConfig.asked(options)  # first, so that what is mistyped is told as such
    if not asked.anew and (comparable(folder) or finished(folder.path)):  # not to be extended
        before = results.load(folder.path, folder.config.run.storage).compared.options
        asked = _completed(options, before, folder)
    for useless in asked.useless(options, folder.config.task.train_loop is not None):
        raise UserError(useless)
    return asked


def _completed(
    options: Mapping[str, Any], before: Mapping[str, Any], folder: Folder
) -> CompareConfig:
    try:
        return CompareConfig.asked(options, before)
    except UserError as error:
        raise UserError(
            f"the comparison of {folder.path} must have options that this version knows, but it "
            f"began with others: {error}; use the version that began it, or --anew to throw away "
            "what it measured"
        ) from error


def folder_of(run: str | Path | None, options: Mapping[str, Any]) -> Folder:
    """The folder of a run, with options that may change: workers, engine, address.

    Without a run it is the one that these options mean; with ``resume`` its search may have ended.
    """
    if run is None:
        return resolve_folder(options, also_finished=True)
    path = Path(run)
    if not (path / "config.json").is_file():
        raise UserError(f"RUN must be the folder of a run, but {path} is none")
    path = path.resolve() if path.name in ("", "..") else path
    where = {"name": path.name, "runs_dir": str(path.parent)}
    if other := [name for name in where if str(options.get(name, where[name])) != where[name]]:
        given = " ".join(f"{flag(name)} {options[name]}" for name in other)
        raise UserError(f"RUN must say alone which run it is, but got {given} too; leave that out")
    if options.get("max_hours") is not None:
        raise UserError(f"--max-hours limits a search, but {path} has been searched; leave it out")
    folder = resolve_folder({"resume": True, **options, **where})
    if folder.extension:
        raise UserError(
            f"RUN is compared as it is, but got {listed(folder.extension)}; leave that out, or "
            f"extend it first with: {folder.resume_command}"
        )
    return folder


def resume_command(folder: Folder, options: CompareConfig) -> str:
    """What to type to go on with this comparison."""
    flags = f" {options.flags}".rstrip()
    return f"python search.py compare {quote(str(folder.path))}{flags}{folder.connection}"


def settled(options: CompareConfig, evaluator: Evaluator) -> CompareConfig:
    """The options with a number for every default that depends on the run."""
    finetune = options.finetune_epochs or evaluator.config.training.final_epochs
    base = options.base_epochs or max(1, round(evaluator.task.base_epochs or UNKNOWN_EPOCHS))
    rates = options.rates
    if options.is_usual("rates") and evaluator.config.training.optimizer == ADAMW:
        rates = tuple(rate / 10 for rate in rates)
    return replace(
        options,
        rates=rates,
        finetune_epochs=finetune,
        base_epochs=base,
        sweep_epochs=options.sweep_epochs or max(1, round(finetune / 3)),
        anew=False,
    )


def check_finished(run: Run, folder: Folder) -> None:
    """Refuse a run of which no trial was trained to the top rung, or whose search goes on."""
    if not results.trial_front(run.records):
        raise UserError(
            f"compare needs a run with finished trials, but {folder.path} has none of "
            f"{len(run.records)}; finish it with: {folder.resume_command}"
        )
    if not comparable(folder):
        raise UserError(
            f"compare needs a run whose search has ended, but that of {folder.path} has not; "
            f"finish it with: {folder.resume_command}"
        )


def check_same_network(about: Provenance, folder: Folder, space: Space) -> None:
    """Refuse a network with other groups or flops than the one that was searched."""
    searched = about.channels
    current = {group.name: group.channels for group in space.groups}
    if searched and (searched != current or about.full_flops != space.full_flops):
        different = [n for n in {**searched, **current} if searched.get(n) != current.get(n)]
        where = f", {', '.join(different[:3])} differ" if different else ""
        raise UserError(
            f"the policies of {folder.path} are of another model: {len(searched)} groups and "
            f"{about.full_flops:,} flops there, {len(current)} and {space.full_flops:,} "
            f"here{where}; give the model that was searched"
        )


def check_options(earlier: Comparison, options: CompareConfig, folder: Folder) -> None:
    """Refuse to go on with a comparison under options that change what its accuracies mean."""
    if not earlier.options:
        return
    free = {f.name: options.values[f.name] for _, f in options.leaves() if f.metadata["free"]}
    began = _completed(free, earlier.options, folder)
    if not any(record.structure == SLIMMING for record in earlier.arms):
        began = replace(began, slimming_sparsity=options.slimming_sparsity)
    different = began.differences(options)
    if different:
        raise UserError(
            f"a comparison goes on as it began, but that of {folder.path} differs: "
            f"{'; '.join(different)}; use these, or --anew to throw away what it measured"
        )
