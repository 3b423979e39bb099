"""Beginning a run: once for all processes that work on its study, and alike for each of them.

The first one puts the config, what it knows of the network, its scores and the starts into the
study. Whoever comes later must have the same config and network, and takes the scores from there:
computed on another machine they might differ in the last digit, and so prune other channels. A
process that has the study for itself keeps the config and the scores in its folder; the network is
in the study, so that a resumed run never mixes two.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from optuna.samplers import BaseSampler
from optuna.study import Study

from prune_ops import Scores
from results import store
from results.store import plain_errors
from search.checks import Check
from search.config import SearchConfig
from search.folder import Folder
from search.starts import Start
from search.study import network as identity
from search.study.company import company_of
from search.study.storage import enqueue, open_study, peek, share_study
from spaces import UserError

BEGUN, SCORES, ENDED = "begun", "scores", "ended"
"""Attributes of the study: config and network, the criteria's scores, that the finals are done."""

AllScores = Mapping[str, Scores]


@contextmanager
def opened(folder: Folder, sampler: BaseSampler) -> Iterator[Study]:
    """The study of a run: in its folder, or in the database that its config names.

    Raises:
        UserError: it cannot be opened or written.
    """
    run = folder.config.run
    if run.storage is None:
        with open_study(folder.path / "study.db", sampler) as study:
            yield study
    else:
        unsaved = folder.path / "unsaved"
        with share_study(run.storage, run.name, sampler, folder.owner, unsaved) as shared:
            yield shared


def begun(
    study: Study,
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
    company = company_of(study)
    if not company.shared:
        return _begun_alone(study, folder, network, score, starts)
    with company.only_one("begins the run", lambda: BEGUN in study.user_attrs, say) as first:
        if first:
            _check_ours(study)
            scores = folder.scores(score)
            enqueue(study, starts(scores))
            _store(study, folder.config, network, scores)
    there = study.user_attrs[BEGUN]
    _check_config(there, folder.config)
    identity.check(there["network"], network, folder)
    return _unpacked(study._storage.get_study_system_attrs(study._study_id)[SCORES])


def _begun_alone(
    study: Study,
    folder: Folder,
    network: dict[str, Any],
    score: Callable[[], AllScores],
    starts: Callable[[AllScores], Sequence[Start]],
) -> AllScores:
    """Config and scores are in the folder; a study of an older version has no network yet."""
    there = study.user_attrs.get(identity.NETWORK)
    identity.check(there or {}, network, folder)
    scores = folder.scores(score)
    if there is None:  # not before there are scores: a network that they fail on can be mended
        with plain_errors("the study"):
            study.set_user_attr(identity.NETWORK, network)
    enqueue(study, starts(scores))
    return scores


def unchanged(folder: Folder) -> Check:
    """Refuses another network than the run was begun with, before anything is trained.

    Raises:
        UserError: the database cannot be used.
    """
    there = _begun_with(folder)
    return lambda _model, space: identity.check(there, identity.of_code(space), folder)


def _begun_with(folder: Folder) -> dict[str, Any]:
    """The fingerprint in the run's study; empty where there is none."""
    run = folder.config.run
    there: dict[str, Any] = {}
    if run.storage is not None:
        there = peek(run.storage, run.name).get(BEGUN, {}).get("network", {})
    else:
        with suppress(UserError), store.open_study(folder.path / "study.db") as study:
            there = study.user_attrs.get(identity.NETWORK, {})
    return there


def check_storage(folder: Folder) -> None:
    """Tell at once, before anything is trained, that the database or its study will not do.

    Raises:
        UserError: the database cannot be used, or holds another run under this name.
    """
    url = folder.config.run.storage
    if url is not None and (there := peek(url, folder.config.run.name).get(BEGUN)) is not None:
        _check_config(there, folder.config)


def end(study: Study) -> None:
    """Say that the finals are done and nothing is left to do."""
    with plain_errors("the study"):
        study.set_user_attr(ENDED, True)


def ended(study: Study) -> bool:
    """Whether somebody has done the finals."""
    return bool(study.user_attrs.get(ENDED))


def _store(study: Study, config: SearchConfig, network: dict[str, Any], scores: AllScores) -> None:
    with plain_errors("the study"):
        storage = study._storage
        # A system attribute: dashboards show the others.
        storage.set_study_system_attr(study._study_id, SCORES, _packed(scores))
        about = {"config": config.to_dict(), "network": network}
        study.set_user_attr(BEGUN, json.loads(json.dumps(about)))


def _check_ours(study: Study) -> None:
    """What is there before a run has begun are starts, of a process that died over them."""
    strangers = [t for t in study.get_trials(deepcopy=False) if "origin" not in t.user_attrs]
    if strangers and BEGUN not in study.user_attrs:
        raise UserError(
            f"--name must be new to the database, but {study.study_name!r} is a study that no "
            "search began; choose another --name"
        )


def _check_config(there: dict[str, Any], config: SearchConfig) -> None:
    if differences := SearchConfig.from_dict(there["config"]).differences(config):
        raise UserError(
            f"processes that share study {config.run.name!r} must have one config, but it was "
            f"begun with another: {'; '.join(differences)}; choose another --name"
        )


def _packed(scores: AllScores) -> str:
    buffer = io.BytesIO()
    torch.save(dict(scores), buffer)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def _unpacked(text: str) -> AllScores:
    buffer = io.BytesIO(zlib.decompress(base64.b64decode(text)))
    scores: AllScores = torch.load(buffer, map_location="cpu", weights_only=True)
    return scores
