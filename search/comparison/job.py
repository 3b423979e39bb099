"""The whole comparison: from a run's front to every arm trained. Read ``_compare`` downwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.study import Study
from torch import nn

import prune_ops
import results
import spaces
from results import (
    Comparison,
    Run,
    load_comparison,
    load_records,
    save_comparison,
)
from search import log
from search.checkpoints import InFolder
from search.comparison.config import CompareConfig
from search.comparison.contest import Contest
from search.comparison.structures import inside_blocks
from search.engines import Engine
from search.engines.opening import open_engine
from search.evaluator import Evaluator
from search.finals import finalists
from search.folder import Folder, place
from search.hardware import threads_suited_to
from search.interrupt import interrupts_heard
from search.prepare import Check, build, choosers, given, reachable, score
from search.progress import Progress
from search.run import execute
from search.sampler import BudgetSampler, Plan, make
from search.study.company import company_of
from search.study.connection import DatabaseLost
from search.study.founding import begun, opened, unchanged
from search.study.network import fingerprint
from search.task import Task
from spaces import Space, UserError

UNKNOWN_EPOCHS = 20
"""Taken for the epochs of weights that were given, where nobody says."""


def compare(run: str | Path | None = None, task: Task | None = None, **options: Any) -> Run:
    """Train what a run found, and uniform widths, in every arm: fine-tuned and from scratch.

    >>> run = search.compare("runs/digits_cnn-0.5", seeds=3)
    >>> run.comparison.groupby(["structure", "arm"])["test_accuracy"].mean()

    What was measured is kept in the run after every training, and is not measured again.

    Args:
        run: the folder of a run; without one a search comes first.
        task: what was pruned; without one it is built as the run's config says.
        options: every flag of ``python search.py compare --help`` under its name.

    Raises:
        UserError: the run has no finished trials, is another network's, or an option cannot be.
        SearchStopped: three trainings in a row died.
    """
    mine, others = CompareConfig.split(options)
    if run is not None:
        folder = folder_of(run, others)
        return execute_comparison(folder, asked_of(folder, mine), task)
    asked, folder = CompareConfig.of(**mine), place(others)
    execute(folder, task, check=fit_for(asked, folder))
    return execute_comparison(folder, asked, task)


def asked_of(folder: Folder, options: Mapping[str, Any]) -> CompareConfig:
    """These options, and for the rest those that an earlier comparison of the run had.

    Raises:
        UserError: an option that cannot be, or a study that cannot be read.
    """
    if options.get("anew"):
        return CompareConfig.of(**options)
    before = results.load(folder.path, folder.config.run.storage).compared.options
    return CompareConfig.from_dict(before).having(**options)


def fit_for(asked: CompareConfig, folder: Folder) -> Check:
    """Refuses a network that has not what the structures need, before anything is trained."""

    def check(model: nn.Module, space: Space) -> None:
        if "slimming" in asked.structures:
            try:
                prune_ops.score(model, space, (), ["bn_scale"])
            except UserError as error:
                raise UserError(f"--structures slimming cannot be: {error}") from error
        if "thinet" in asked.structures:
            for budget in reachable(space, folder.config):
                inside_blocks(model, space, budget)

    return check


def folder_of(run: str | Path, options: Mapping[str, Any]) -> Folder:
    """The folder of a run that was begun, with what may change since: workers, engine, address.

    Raises:
        UserError: there is no run, or the options would change it.
    """
    path = Path(run)
    if not (path / "config.json").is_file():
        raise UserError(f"RUN must be the folder of a run, but {path} is none")
    path = path if path.name else path.resolve()
    where = {"name": path.name, "runs_dir": str(path.parent)}
    return place({"resume": True, **options, **where})


def execute_comparison(
    folder: Folder,
    asked: CompareConfig,
    task: Task | None = None,
    progress: Progress | None = None,
) -> Run:
    """The comparison; where it was cut short, the rest of it."""
    progress = progress or Progress()
    try:
        progress.hiring(folder.config.run)
        with interrupts_heard(), open_engine(folder.config) as engine:
            return _compare(folder, asked, engine, task, progress)
    except DatabaseLost as lost:
        raise UserError(f"{lost}; go on with: {resume_command(folder, asked)}") from lost


def resume_command(folder: Folder, asked: CompareConfig) -> str:
    """What to type to go on with this comparison."""
    return f"python search.py compare {folder.path} {asked.flags}".rstrip()


def _compare(
    folder: Folder, asked: CompareConfig, engine: Engine, task: Task | None, progress: Progress
) -> Run:
    config = folder.config
    run = results.load(folder.path, config.run.storage)
    _check_finished(run, folder)
    same_code = unchanged(folder)

    def check(model: nn.Module, space: Space) -> None:
        _check_network(run.provenance, folder, space)
        same_code(model, space)
        fit_for(asked, folder)(model, space)

    task = given(task) if task else build(config, progress, check)
    space = spaces.discover(task.model, task.example, config.task.round_to)
    check(task.model, space)
    budgets = reachable(space, config)
    nobody = BudgetSampler(make("random", Plan(0, 1)), space, budgets, seed=0)
    with (
        threads_suited_to(task.example[0].shape),
        folder.held(),
        log.logged_to(folder.path / "log.txt"),
        opened(folder, nobody) as study,
    ):
        checkpoints = InFolder(folder.path / "checkpoints-of-comparison")
        evaluator = replace(
            _evaluator(study, folder, task, space, progress), checkpoints=checkpoints
        )
        settled = _settled(asked, evaluator)
        contenders = finalists(load_records(study), evaluator, budgets, asked.front)
        contest = Contest(settled, evaluator, contenders, engine, progress, folder.path)
        with company_of(study).only_one("compares", lambda: False, progress.say):
            before = load_comparison(study)
            known = _known(before, settled, folder) if not asked.anew else _thrown_away(before)
            save_comparison(study, known)
            contest.run(known, keep=partial(save_comparison, study))
        checkpoints.clear()
    run = results.load(folder.path, config.run.storage)
    run.report()
    return run


def _evaluator(
    study: Study, folder: Folder, task: Task, space: Space, progress: Progress
) -> Evaluator:
    config = folder.config
    scores = begun(
        study,
        folder,
        fingerprint(task, space),
        score=partial(score, task, space, config, progress),
        starts=lambda _: [],
        say=progress.say,
    )
    return Evaluator(task, space, choosers(scores, config), config)


def _check_finished(run: Run, folder: Folder) -> None:
    if not results.trial_front(run.records):
        raise UserError(
            f"compare needs a run with finished trials, but {folder.path} has none of "
            f"{len(run.records)}; finish it with: {folder.resume_command}"
        )


def _check_network(about: Mapping[str, Any], folder: Folder, space: Space) -> None:
    searched = {group["name"]: group["channels"] for group in about.get("groups", [])}
    here = {group.name: group.channels for group in space.groups}
    if searched and (searched != here or about.get("full_flops") != space.full_flops):
        different = [name for name in {**searched, **here} if searched.get(name) != here.get(name)]
        where = f", {', '.join(different[:3])} differ" if different else ""
        raise UserError(
            f"the policies of {folder.path} are of another model: {len(searched)} groups and "
            f"{about.get('full_flops'):,} flops there, {len(here)} and {space.full_flops:,} "
            f"here{where}; give the model that was searched"
        )


def _settled(asked: CompareConfig, evaluator: Evaluator) -> CompareConfig:
    """With a number in the place of every default that depends on the run."""
    finetune = asked.finetune_epochs or evaluator.config.training.final_epochs
    return replace(
        asked,
        finetune_epochs=finetune,
        base_epochs=asked.base_epochs
        or max(1, round(evaluator.task.base_epochs or UNKNOWN_EPOCHS)),
        sweep_epochs=asked.sweep_epochs or max(1, round(finetune / 3)),
        anew=False,
    )


def _thrown_away(before: Comparison) -> Comparison:
    """Nothing but how often the test split was read for it."""
    return Comparison(earlier_reads=before.test_reads)


def _known(known: Comparison, asked: CompareConfig, folder: Folder) -> Comparison:
    """What an earlier comparison of the run measured.

    Raises:
        UserError: it was begun with options under which accuracies mean something else.
    """
    if not known.options:
        return known
    began = CompareConfig.from_dict(known.options)
    if not any(record.structure == "slimming" for record in known.arms):
        began = replace(began, slimming_sparsity=asked.slimming_sparsity)
    if different := began.differences(asked):
        raise UserError(
            f"a comparison goes on as it began, but that of {folder.path} differs: "
            f"{'; '.join(different)}; use these, or --anew to throw away what it measured"
        )
    return known
