"""A run's study: opened, and begun with the same config and network each time.

Without ``--storage`` the config and the scores are in the run's folder; the network is in the
study, so that a resumed run never mixes two. With it, see ``search.sharing.storage``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import load_records, opening
from results.store import plain_errors
from results.text import listed, plural
from search.folder import Folder, finished
from search.policies.starts import AllScores, MakeStarts
from search.study import evidence
from search.study import network as identity
from search.study.extent import ended, finals_trained, note_extension
from search.study.peers import OpenStudy
from search.study.storage import enqueue, open_study
from search.task.fit import Check
from spaces import UserError

if TYPE_CHECKING:
    from search.sharing.storage import StudyDatabase


@dataclass(frozen=True)
class StudyFile:
    """The study in a run's folder, for one process at a time.

    >>> study = study_of(folder)
    >>> study.check()
    >>> with study.open() as opened:
    ...     scores = study.begin(opened, fingerprint(task, space), score, starts, say)
    """

    folder: Folder

    def check(self) -> None:
        """Refuse a study that lacks what the folder says was measured; see `evidence`."""
        if not self._path.is_file():
            evidence.check_there(self.folder.path, "study.db")
        elif self.folder.begun:
            with opening.open_study(self._path) as study:
                evidence.check_study(study, self.folder)

    def network(self) -> dict[str, Any]:
        """The fingerprint that the run was begun with; empty where there is none."""
        with suppress(UserError), opening.open_study(self._path) as study:
            return dict(study.user_attrs.get(identity.NETWORK, {}))
        return {}

    def open(self) -> AbstractContextManager[OpenStudy]:
        """Open the study, or create it.

        Raises:
            UserError: it cannot be opened or written.
        """
        return open_study(self._path)

    def begin(
        self,
        opened: OpenStudy,
        network: dict[str, Any],
        score: Callable[[], AllScores],
        starts: MakeStarts,
        say: Callable[[str], None],
    ) -> AllScores:
        """Begin the run, or join it; returns its scores.

        Args:
            network: the fingerprint; see `search.study.network`.
            score: computes the scores; called by the first process only.
            starts: the policies to try first, from the scores.
            say: called with a line if the scores are lost.

        Raises:
            UserError: the study was begun with another config or network, or not by a search.
        """
        stored = opened.study.user_attrs.get(identity.NETWORK)  # None in one of an older version
        identity.check(stored or {}, network, self.folder)

        def scored() -> AllScores:
            if stored is not None:
                say(f"scores.pt in {self.folder.path} is missing or damaged: channels scored again")
            return score()

        scores = self.folder.scores(scored)
        if stored is None:  # after scoring: a network that fails in it can still be changed
            with plain_errors("the study"):
                opened.study.set_user_attr(identity.NETWORK, network)
                opened.study.set_user_attr(evidence.RUN, self.folder.id)
        if self.folder.extension:
            note_extension(opened.study, self.folder.stored)
        enqueue(opened.study, starts(scores))
        return scores

    @property
    def _path(self) -> Path:
        return self.folder.path / "study.db"


def study_of(folder: Folder) -> StudyFile | StudyDatabase:
    """Where the run's study is. The only place that imports `search.sharing` from outside."""
    if folder.config.run.storage is None:
        return StudyFile(folder)
    from search.sharing.storage import StudyDatabase

    return StudyDatabase(folder, folder.config.run.storage)


def unchanged(folder: Folder) -> Check:
    """A check that refuses another network than the run was begun with."""
    stored = study_of(folder).network()
    return lambda _model, space: identity.check(stored, identity.of_code(space), folder)


def search_ended(folder: Folder) -> bool:
    """Whether nothing is left to search: the folder says so, or its study, which others share."""
    if folder.extension or not folder.begun:
        return False
    if finished(folder.path):
        return True
    with suppress(UserError), opening.open_run(folder.path, folder.config.run.storage) as study:
        return ended(study, folder.config)
    return False


def comparable(folder: Folder) -> bool:
    """Whether the finals of all trials so far are trained, though some may be left to try."""
    if search_ended(folder):
        return True
    with suppress(UserError), opening.open_run(folder.path, folder.config.run.storage) as study:
        return not folder.extension and finals_trained(study, folder.config)
    return False


def going_on(folder: Folder) -> str:
    """One line on the run that is gone on with, and by what it is extended; empty for a new one."""
    if not folder.begun:
        return ""
    known = None
    with suppress(UserError), opening.open_run(folder.path, folder.config.run.storage) as study:
        known = load_records(study)
    done = sum(record.state != "running" for record in known or ())
    trials = plural(folder.config.policies.trials, "trial")
    extended = f" with {listed(folder.extension)}" if folder.extension else ""
    return f"going on with the run in {folder.path}{extended}: {done} of {trials} are done"
