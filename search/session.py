"""A session: one process that works on a run, from its locked folder to its evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from optuna.samplers import BaseSampler

from results import Provenance, chosen_rates, store
from results.run import left_behind
from search import log
from search.evaluation.evaluator import Evaluator
from search.evaluation.scoring import score, selection_scores
from search.loggers.logger import BegunRun
from search.policies.starts import AllScores, MakeStarts
from search.study.extent import Extension, extensions
from search.study.network import fingerprint
from search.study.open import study_of
from search.study.peers import OpenStudy, Peers
from search.task.prepare import Prepared
from search.training.checkpoints import InFolder
from search.training.hardware import threads_suited_to
from search.training.trainer import Trainer, adopted


@dataclass(frozen=True, kw_only=True)
class Session:
    """A run that this process works on: folder locked, log and study open.

    ``scores`` are of criteria and sensitivities, as they were when the run began.
    """

    run: Prepared
    opened: OpenStudy
    scores: AllScores
    evaluator: Evaluator

    @property
    def peers(self) -> Peers:
        """The other processes that work on the study, if any."""
        return self.opened.peers

    def tell_begun(self, about: Provenance) -> None:
        """Tell the loggers of the run; of several processes that share it, those of the first."""
        folder = self.run.folder
        parts = folder.config.to_dict()
        options = {n: value for part in parts if part != "run" for n, value in parts[part].items()}
        if self.peers.is_leader:
            name = folder.path.name
            log.begun(BegunRun(folder.id or name, name, folder.path, options, about))

    def trainer(self) -> Trainer:
        """A trainer that knows all trainings of which the study has a record now.

        It saves all records at once, those of other processes too, so only one process at a time
        may use one; see `Peers.exclusively`.
        """
        known = left_behind(self.opened.study, self.run.folder.path).training_records
        keep = partial(store.save, self.opened.study, store.TRAININGS)
        return Trainer(self.evaluator, self.run.engine, adopted(known, self.evaluator), keep)


@contextmanager
def session(
    run: Prepared,
    checkpoints: str,
    starts: MakeStarts = lambda _: (),
    sampler: Callable[[AllScores, Sequence[Extension]], BaseSampler] | None = None,
) -> Iterator[Session]:
    """Lock the run's folder and open its study while the block lasts.

    Args:
        checkpoints: name of the subfolder for checkpoints of long trainings.
        starts: the policies to try first, from the scores.
        sampler: proposes policies, from the scores and how the run was extended; None where no
            trial is begun.

    Raises:
        UserError: another process works on the run, the study was begun with another config or
            network, or something cannot be written.
    """
    folder, task, space = run.folder, run.task, run.space
    with (
        threads_suited_to(task.example),
        folder.locked(),
        log.logged_to(folder.path / "log.txt"),
        study_of(folder).open() as study,
    ):
        scores = study_of(folder).begin(
            study,
            fingerprint(task, space),
            partial(score, task, space, run.config, run.progress),
            starts,
            run.progress.say,
        )
        folder.extend()
        if sampler is not None:
            study.study.sampler = sampler(scores, extensions(study.study))
        evaluator = Evaluator(
            task=task,
            space=space,
            scores=selection_scores(scores, run.config),
            config=run.config,
            checkpoints=InFolder(folder.path / checkpoints),
            damages=scores.get("iso_damage", {}),
            rates=chosen_rates(store.load(study.study, store.RATES)),
        )
        yield Session(run=run, opened=study, scores=scores, evaluator=evaluator)
