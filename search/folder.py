"""A run's folder: which one, whether it may be used, and what lies in it from the start."""

from __future__ import annotations

import json
import re
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prune_ops import Scores
from results import database
from results.store import plain_errors, write_text
from search import cache
from search.config import RunConfig, SearchConfig
from search.provenance import commit, versions
from spaces import UserError

try:
    import fcntl
except ImportError:  # not on Windows; there nothing keeps two processes off one run
    fcntl = None  # type: ignore[assignment]


FINISHED = "finished"
"""An empty file, the last that a search leaves in its folder."""


@dataclass(frozen=True)
class Folder:
    """``runs/<name>/``, with the config of the run that lives or is to live there.

    >>> folder = resolve_folder({"budget": 0.5, "name": "mine"})
    >>> with folder.locked():                                  # made, and kept from other processes
    ...     study = open_study(folder, space)
    """

    path: Path
    config: SearchConfig

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on with."""
        return _config_file(self.path).is_file()

    @property
    def resume_command(self) -> str:
        """What to type to go on with this run."""
        run = self.config.run
        where = "" if run.runs_dir == RunConfig().runs_dir else f" --runs-dir {run.runs_dir}"
        if run.storage is not None and database.has_password(run.storage):
            where += f" --storage '{database.shown(run.storage, password='PASSWORD')}'"
        if "ray" in (run.engine, _stored(self.path).run.engine):
            where += f" --engine {run.engine}"
            where += f" --address {run.address}" if run.address else ""
        return f"python search.py --resume --name {self.path.name}{where}"

    @property
    def owner(self) -> str:
        """Names this folder, and so the process that holds it, among those of all machines."""
        about = json.loads(_config_file(self.path).read_text())
        return f"{socket.gethostname()}:{self.path.resolve()}#{about.get('id', '')}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if need be, and hold it: a second process is refused.

        Raises:
            UserError: the folder cannot be written, or another process works on the run.
        """
        with plain_errors(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
        if not self.begun:
            write_text(_config_file(self.path), json.dumps(self._about(), indent=2) + "\n")
        with open(_config_file(self.path)) as file:
            _lock(file, self.path)
            yield  # the system releases the lock when the file is closed, or the process killed

    def finish(self) -> None:
        """Say that the search is done and has its report."""
        with plain_errors(str(self.path)):
            (self.path / FINISHED).touch()

    def scores(self, compute: Callable[[], Mapping[str, Scores]]) -> Mapping[str, Scores]:
        """The run's scores: as they were when it began, so that resuming it prunes alike."""
        path = self.path / "scores.pt"
        stored = cache.load(path)
        if stored is None:
            stored = dict(compute())
            cache.save(path, stored)
        return stored

    def _about(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {
            "id": uuid.uuid4().hex[:8],
            "config": self.config.to_dict(),
            "seeds": {"run": self.config.policies.seed, "finals": self.config.final_seeds},
            "versions": versions(),
            "commit": commit(),
        }


def resolve_folder(options: Mapping[str, Any]) -> Folder:
    """The folder that these options ask for; nothing is made yet.

    With ``resume`` it is the named run, or the latest that is not finished, and options that are
    not given are those of that run. Without, it is a new one, or the named one if that was begun
    with the same config and is not finished.

    Raises:
        UserError: nothing to resume, a finished run or somebody's folder in the way, or another
            config than the run began with, naming the differences.
    """
    asked = SearchConfig.of(**options)
    runs = Path(asked.run.runs_dir)
    _check_writable(runs)
    if asked.run.storage is not None:
        database.parsed(asked.run.storage)
    name = asked.run.name or (_latest(runs) if asked.run.resume else _new_name(asked, runs))
    path = runs / name
    if not _config_file(path).is_file():
        return Folder(_vacant(path, asked.run), asked.having(name=name))
    stored = _stored(path)
    _check_storage(path, stored.run.storage, options)
    if asked.run.resume:
        asked = stored.having(**_elsewhere(stored, options), **options)
    elif finished(path):
        raise UserError(
            f"--name must be new, but {path} holds a finished run; choose another name, or remove "
            "the folder"
        )
    if differences := stored.differences(asked):
        raise UserError(
            f"a run is resumed with the config it began with, but {path} differs: "
            f"{'; '.join(differences)}; leave these out (with --resume), or choose another --name"
        )
    return Folder(path, asked.having(name=name))


def _check_storage(path: Path, begun: str | None, options: Mapping[str, Any]) -> None:
    asked = options.get("storage")
    if asked is None and (begun is None or options.get("resume")):
        return
    there, here = (url and database.shown(url) for url in (begun, asked))
    if there != here:
        raise UserError(
            f"a run stays in the storage it began in, but {path} has {there or 'study.db'}, "
            f"and --storage is {here or 'not given'}; choose another --name for another storage"
        )


def _elsewhere(stored: SearchConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """Another engine than the run began with leaves what is of its cluster behind."""
    if options.get("engine", stored.run.engine) == stored.run.engine:
        return {}
    return {name: None for name in ("address", "gpus_per_trial") if name not in options}


def _check_writable(runs: Path) -> None:
    """Told before anything is trained; the folder itself is made only when a run begins."""
    there = next(p for p in (runs, *runs.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):  # os.access says yes to root, whatever it is
            return
    except OSError as error:
        raise UserError(
            f"--runs-dir must be a folder that can be written, but {there} is not"
        ) from error


def finished(path: Path) -> bool:
    """Whether the search got to its end; a report may be made before."""
    return (path / FINISHED).is_file()


def _config_file(path: Path) -> Path:
    return path / "config.json"


def _stored(path: Path) -> SearchConfig:
    try:
        return SearchConfig.from_dict(json.loads(_config_file(path).read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{_config_file(path)} must be what a run wrote, but it is not; choose another --name"
        ) from error


def _vacant(path: Path, run: RunConfig) -> Path:
    if run.resume:
        raise UserError(f"--resume needs a run to go on with, but there is none at {path}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"--name must be new or name a run, but {path} exists and is none; choose another name"
        )
    return path


def _latest(runs: Path) -> str:
    begun = [file for file in runs.glob("*/config.json") if not finished(file.parent)]
    if not begun:
        raise UserError(
            f"--resume needs a run that is not finished, but {runs} holds none; name one with "
            "--name, or leave --resume out to begin one"
        )
    return max(begun, key=lambda file: file.stat().st_mtime).parent.name


def _new_name(config: SearchConfig, runs: Path) -> str:
    """Of the model and the budgets, numbered from the second such run on."""
    stem = re.sub(r"[^\w.-]+", "-", "-".join([config.task.model, *config.policies.budget]))
    number = 1
    while (runs / (name := stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return name


def _lock(file: Any, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{path} must be free, but another process works on that run") from None
