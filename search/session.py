"""A session: one process at work on a run, from its locked folder to its evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from optuna.samplers import BaseSampler
from optuna.study import Study

from prune_ops import Scores
from results import store
from results.run import left_behind
from search import log
from search.config import SearchConfig
from search.engines import Engine
from search.engines.opening import open_engine
from search.errors import DatabaseLost
from search.evaluation.evaluator import Evaluator
from search.evaluation.scoring import score, selection_scores
from search.folder import Folder
from search.interrupt import interrupts_heard
from search.policies.starts import Start
from search.progress import Progress
from search.study.network import fingerprint
from search.study.open import begun, check_storage, opened
from search.study.peers import OpenStudy, Peers
from search.task.checks import Check
from search.task.prepare import prepared, reachable
from search.task.task import Task
from search.training.checkpoints import InFolder
from search.training.hardware import threads_suited_to
from search.training.trainer import Trainer, adopted
from spaces import Budget, Space, UserError

Starts = Callable[[Mapping[str, Scores]], Sequence[Start]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a run is of, before its folder is touched."""

    folder: Folder
    task: Task
    space: Space
    budgets: Sequence[Budget]
    engine: Engine
    progress: Progress

    @property
    def config(self) -> SearchConfig:
        """Of the run."""
        return self.folder.config


@dataclass(frozen=True, kw_only=True)
class Session:
    """A run at work: its folder is locked, its log open, its study begun.

    Attributes:
        scores: of criteria and sensitivities, as they were when the run began.
        checkpoints: of long trainings; to be cleared when the work is done.
    """

    run: Prepared
    opened: OpenStudy
    scores: Mapping[str, Scores]
    evaluator: Evaluator
    checkpoints: InFolder

    @property
    def study(self) -> Study:
        """Where everything that is measured goes."""
        return self.opened.study

    @property
    def peers(self) -> Peers:
        """The other processes that work on the study, if any."""
        return self.opened.peers

    def trainer(self) -> Trainer:
        """One that knows every training which the study has a record of now.

        Only the process that trains exclusively may have one: it saves all records at once.
        """
        known = left_behind(self.study, self.run.folder.path).training_records
        keep = partial(store.save, self.study, store.TRAININGS)
        return Trainer(self.evaluator, self.run.engine, adopted(known, self.evaluator), keep)


def prepare(
    folder: Folder, engine: Engine, task: Task | None, progress: Progress, *checks: Check
) -> Prepared:
    """Read the data, build the network and discover its space; see `prepared`."""
    task, space = prepared(task, folder.config, progress, *checks)
    return Prepared(
        folder=folder,
        task=task,
        space=space,
        budgets=reachable(space, folder.config),
        engine=engine,
        progress=progress,
    )


@contextmanager
def engine_of(
    folder: Folder, progress: Progress, resume_command: Callable[[], str]
) -> Iterator[Engine]:
    """The engine of a run, connected, while the block lasts; Ctrl-C is heard in there.

    Raises:
        UserError: engine or database cannot be used, or the database went away.
    """
    run = folder.config.run
    try:
        check_storage(folder)
        if run.engine == "ray":
            where = f"connecting to Ray at {run.address}" if run.address else "starting Ray here"
            progress.waiting(where)
        with interrupts_heard(), open_engine(folder.config) as engine:
            yield engine
    except DatabaseLost as lost:
        raise UserError(f"{lost}; go on with: {resume_command()}") from lost


@contextmanager
def session(
    run: Prepared, sampler: BaseSampler, checkpoints: str, starts: Starts = lambda _: ()
) -> Iterator[Session]:
    """Hold the run's folder and its study while the block lasts.

    Args:
        checkpoints: name of the folder, in the run's, for states of long trainings.
        starts: the policies to try first, from the scores.

    Raises:
        UserError: another process works on the run, the study was begun with another config or
            network, or something cannot be written.
    """
    folder, task, space = run.folder, run.task, run.space
    with (
        threads_suited_to(task.example[0].shape),
        folder.locked(),
        log.logged_to(folder.path / "log.txt"),
        opened(folder, sampler) as there,
    ):
        scores = begun(
            there,
            folder,
            fingerprint(task, space),
            score=partial(score, task, space, run.config, run.progress),
            starts=starts,
            say=run.progress.say,
        )
        kept = InFolder(folder.path / checkpoints)
        evaluator = Evaluator(
            task=task,
            space=space,
            scores=selection_scores(scores, run.config),
            config=run.config,
            checkpoints=kept,
            damages=scores.get("iso_damage", {}),
        )
        yield Session(run=run, opened=there, scores=scores, evaluator=evaluator, checkpoints=kept)
