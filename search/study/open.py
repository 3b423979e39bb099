"""Opening the study of a run and beginning the run: with the same config and network each time.

Without ``--storage`` the config and the scores are in the run's folder; the network is in the
study, so that a resumed run never mixes two. With it, see ``search.sharing.storage``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler
from optuna.study import Study

from prune_ops import Scores
from results import opening
from results.store import plain_errors
from search.folder import Folder
from search.policies.starts import Start
from search.study import network as identity
from search.study.peers import OpenStudy
from search.study.storage import enqueue, open_study
from search.task.checks import Check
from spaces import UserError

if TYPE_CHECKING:
    from search.sharing.storage import StudyDatabase

ENDED = "ended"
"""Attribute of the study: the finals are done."""

AllScores = Mapping[str, Scores]


def opened(folder: Folder, sampler: BaseSampler) -> AbstractContextManager[OpenStudy]:
    """The study of a run: in its folder, or in the database that its config names.

    Raises:
        UserError: it cannot be opened or written.
    """
    return _study_of(folder).open(sampler)


def begun(
    opened: OpenStudy,
    folder: Folder,
    network: dict[str, Any],
    score: Callable[[], AllScores],
    starts: Callable[[AllScores], Sequence[Start]],
    say: Callable[[str], None],
) -> AllScores:
    """Begin the run, or join it; its scores.

    Args:
        network: what must be the same for everybody; see `search.study.network`.
        score: computes the scores; called by the first process only.
        starts: the policies to try first, from the scores.

    Raises:
        UserError: the study was begun with another config or network, or is no search's.
    """
    return _study_of(folder).begin(opened, network, score, starts, say)


def unchanged(folder: Folder) -> Check:
    """Refuses another network than the run was begun with, before anything is trained.

    Raises:
        UserError: the database cannot be used.
    """
    there = _study_of(folder).network()
    return lambda _model, space: identity.check(there, identity.of_code(space), folder)


def check_storage(folder: Folder) -> None:
    """Tell at once, before anything is trained, that the database or its study will not do.

    Raises:
        UserError: the database cannot be used, or holds another run under this name.
    """
    _study_of(folder).check()


def end(study: Study) -> None:
    """Say that the finals are done and nothing is left to do."""
    with plain_errors("the study"):
        study.set_user_attr(ENDED, True)


def ended(study: Study) -> bool:
    """Whether somebody has done the finals."""
    return bool(study.user_attrs.get(ENDED))


@dataclass(frozen=True)
class StudyFile:
    """The study in a run's folder, which one process has for itself."""

    folder: Folder

    def check(self) -> None:
        """Nothing: `search.folder` has compared the configs."""

    def network(self) -> dict[str, Any]:
        """The fingerprint that the run was begun with; empty where there is none."""
        with suppress(UserError), opening.open_study(self._path) as study:
            return dict(study.user_attrs.get(identity.NETWORK, {}))
        return {}

    def open(self, sampler: BaseSampler) -> AbstractContextManager[OpenStudy]:
        """Open or make it."""
        return open_study(self._path, sampler)

    def begin(
        self,
        opened: OpenStudy,
        network: dict[str, Any],
        score: Callable[[], AllScores],
        starts: Callable[[AllScores], Sequence[Start]],
        _say: Callable[[str], None],
    ) -> AllScores:
        """As `begun`; a study of an older version has no network yet."""
        there = opened.study.user_attrs.get(identity.NETWORK)
        identity.check(there or {}, network, self.folder)
        scores = self.folder.scores(score)
        if there is None:  # not before there are scores: a network that they fail on can be mended
            with plain_errors("the study"):
                opened.study.set_user_attr(identity.NETWORK, network)
        enqueue(opened.study, starts(scores))
        return scores

    @property
    def _path(self) -> Path:
        return self.folder.path / "study.db"


def _study_of(folder: Folder) -> StudyFile | StudyDatabase:
    """Where the run's study is; the only import of `search.sharing` from outside of it."""
    if folder.config.run.storage is None:
        return StudyFile(folder)
    from search.sharing.storage import StudyDatabase

    return StudyDatabase(folder, folder.config.run.storage)
