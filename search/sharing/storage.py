"""A study that several processes share: in a database, begun once for all of them.

The first process stores the config, the network's fingerprint, its scores and the starts in the
study. Later processes must have the same config and network, and take the scores from there:
computed on another machine they might differ in the last digit, and so prune other channels.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from optuna.samplers import BaseSampler
from optuna.study import Study

from results import database, opening
from results.optuna_private import storage_of, study_id_of
from results.store import plain_errors
from search.config import SearchConfig
from search.folder import Folder
from search.policies.starts import AllScores, MakeStarts, Start
from search.sharing.connection import connected
from search.sharing.outbox import FolderOutbox
from search.sharing.peers import SharedPeers
from search.study import evidence
from search.study import network as identity
from search.study.extent import note_extension
from search.study.peers import OpenStudy
from search.study.storage import closing, enqueue, study_in
from spaces import UserError

BEGUN, SCORES = "begun", "scores"
"""Attributes of the study: config and fingerprint; the scores."""


@contextmanager
def share_study(
    url: str, name: str, owner: str, outbox: Path, sampler: BaseSampler | None = None
) -> Iterator[OpenStudy]:
    """Open the study of that name in the database at ``url``, or create it.

    Args:
        owner: names this run's folder among all that share the study.
        outbox: where results wait while the database is away.

    Raises:
        UserError: the database cannot be used.
    """
    storage = connected(url)
    with closing(storage):
        study = study_in(storage, name, sampler)
        connect = partial(connected, url, waits=False)
        peers = SharedPeers(study, connect, owner, FolderOutbox(outbox))
        with peers.alive():
            yield OpenStudy(study, peers)


@dataclass(frozen=True)
class StudyDatabase:
    """The study of a run in the database at ``url``; as ``search.study.open.StudyFile``."""

    folder: Folder
    url: str

    def check(self) -> None:
        """Refuse a database that cannot be used, that holds another run under this name, or that
        lacks what the folder says was measured; see `evidence`."""
        if begun := self._begun():
            self._check_config(begun)
        if not self.folder.begun:
            return
        if not begun:
            evidence.check_there(self.folder.path, f"the study in {database.shown(self.url)}")
            return
        with opening.open_run(self.folder.path, self.url) as study:
            evidence.check_study(study, self.folder)

    def network(self) -> dict[str, Any]:
        return dict(self._begun().get("network", {}))

    def open(self) -> AbstractContextManager[OpenStudy]:
        name, outbox = self.folder.config.run.name, self.folder.path / "unsaved"
        return share_study(self.url, name, self.folder.owner, outbox)

    def begin(
        self,
        opened: OpenStudy,
        network: dict[str, Any],
        score: Callable[[], AllScores],
        starts: MakeStarts,
        say: Callable[[str], None],
    ) -> AllScores:
        study = opened.study
        lease = opened.peers.exclusively("begins the run", lambda: BEGUN in study.user_attrs, say)
        with lease as is_first:
            if is_first:
                _check_ours(study)
                scores = self.folder.scores(score)
                enqueue(study, starts(scores))
                self._store(study, network, scores)
        begun = study.user_attrs[BEGUN]
        self._check_config(begun)
        identity.check(begun["network"], network, self.folder)
        scores = _unpacked(storage_of(study).get_study_system_attrs(study_id_of(study))[SCORES])
        self._extend(opened, begun, lambda: starts(scores), say)
        return scores

    def _extend(
        self,
        opened: OpenStudy,
        begun: dict[str, Any],
        starts: Callable[[], Sequence[Start]],
        say: Callable[[str], None],
    ) -> None:
        """Extend the run for all its processes, unless another one has."""
        study, config = opened.study, self.folder.config
        before = SearchConfig.from_dict(begun["config"])
        if not before.growth(config):
            return

        def done() -> bool:
            return not SearchConfig.from_dict(study.user_attrs[BEGUN]["config"]).growth(config)

        with opened.peers.exclusively("extends the run", done, say) as is_ours:
            if is_ours:
                note_extension(study, before)
                enqueue(study, starts())
                with plain_errors("the study"):
                    extended = {**begun, "config": config.to_dict()}
                    study.set_user_attr(BEGUN, json.loads(json.dumps(extended)))

    def _begun(self) -> dict[str, Any]:
        """Config and fingerprint that the run was begun with; empty where there is none."""
        storage = connected(self.url)
        with closing(storage), suppress(KeyError):
            study = storage.get_study_id_from_name(self.folder.config.run.name)
            return dict(storage.get_study_user_attrs(study)[BEGUN])
        return {}

    def _store(self, study: Study, network: dict[str, Any], scores: AllScores) -> None:
        begun = {"config": self.folder.config.to_dict(), "network": network}
        with plain_errors("the study"):
            # A system attribute: dashboards show user attributes.
            storage_of(study).set_study_system_attr(study_id_of(study), SCORES, _packed(scores))
            study.set_user_attr(BEGUN, json.loads(json.dumps(begun)))

    def _check_config(self, begun: dict[str, Any]) -> None:
        config = self.folder.config
        stored = SearchConfig.from_dict(begun["config"])
        if differences := stored.differences(config, grown=config.run.resume):
            hint = "choose another --name"
            if not config.differences(stored, grown=True):
                hint = f"it was extended: add --resume {stored.typed(config.growth(stored))}"
            raise UserError(
                f"processes that share study {config.run.name!r} must have one config, but it was "
                f"begun with another: {'; '.join(differences)}; {hint}"
            )


def _check_ours(study: Study) -> None:
    """Refuse a foreign study. Trials before the begin are starts, of a process that then died."""
    foreign = [t for t in study.get_trials(deepcopy=False) if "origin" not in t.user_attrs]
    if foreign and BEGUN not in study.user_attrs:
        raise UserError(
            f"--name must be new to the database, but {study.study_name!r} is a study that no "
            "search began; choose another --name"
        )


def _packed(scores: AllScores) -> str:
    buffer = io.BytesIO()
    torch.save(dict(scores), buffer)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def _unpacked(text: str) -> AllScores:
    buffer = io.BytesIO(zlib.decompress(base64.b64decode(text)))
    return torch.load(buffer, map_location="cpu", weights_only=True)
