"""A run's folder: which one it is, whether it may be used, and its ``config.json``."""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from prune_ops import Scores
from results import database
from results.store import plain_errors, write_text
from search import cache, config_file
from search.config import RunConfig, SearchConfig
from search.versions import commit, versions
from spaces import UserError

try:
    import fcntl
except ImportError:  # not on Windows; there nothing keeps two processes off one run
    fcntl = None  # type: ignore[assignment]


LONGEST_STEM = 60
"""Characters that a run's own name takes from its model and budgets: file names have an end."""

FINISHED = "finished"
"""An empty file, the last that a search leaves in its folder."""


@dataclass(frozen=True)
class Folder:
    """``runs/<name>/``, with the config of its run, begun or not.

    >>> folder = resolve_folder({"budget": 0.5, "name": "mine"})
    >>> with folder.locked(): ...
    """

    path: Path
    config: SearchConfig

    @property
    def begun(self) -> bool:
        """Whether there is a run to resume."""
        return _config_file(self.path).is_file()

    @property
    def extension(self) -> list[str]:
        """By what the run is to be extended, as one types it; empty where it is not, or was."""
        grown = self.stored.growth(self.config) if self.begun else []
        return [self.config.typed([name]) for name in grown]

    @property
    def resume_command(self) -> str:
        """What to type to go on with this run."""
        runs_dir, where = self.config.run.runs_dir, ""
        if runs_dir != RunConfig().runs_dir:
            where = f" --runs-dir {quote(runs_dir)}"
        words = ["python search.py --resume --name", quote(self.path.name)]
        return " ".join([*words, *self.extension]) + where + self.connection

    @property
    def connection(self) -> str:
        """The flags of database and cluster that are typed again to go on; empty without any."""
        run, flags = self.config.run, ""
        if run.storage is not None and database.has_password(run.storage):
            flags += f" --storage '{database.shown(run.storage, password='PASSWORD')}'"
        if "ray" in (run.engine, _stored(self.path).run.engine):
            flags += f" --engine {run.engine}"
            flags += f" --address {run.address}" if run.address else ""
        return flags

    @property
    def stored(self) -> SearchConfig:
        """The config that a run which has begun has in its folder."""
        return _stored(self.path)

    @property
    def id(self) -> str:
        """A random name that the run got when it began; empty in one of an older version."""
        return str(json.loads(_config_file(self.path).read_text()).get("id", ""))

    @property
    def owner(self) -> str:
        """A name of this folder, unique among all machines, for the process that has locked it."""
        return f"{socket.gethostname()}:{self.path.resolve()}#{self.id}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder if need be, and lock it: a second process is refused.

        Raises:
            UserError: the folder cannot be written, or another process works on the run.
        """
        with plain_errors(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
        with _lock(self.path):
            if not self.begun:
                about = {"id": uuid.uuid4().hex[:8], "versions": versions(), "commit": commit()}
                self._write(about, self.config)
            yield

    def extend(self) -> None:
        """Store by what the run is extended, if it is; it is not finished then. Lock it first."""
        if not self.extension:
            return
        with plain_errors(str(self.path)):
            (self.path / FINISHED).unlink(missing_ok=True)
        about = json.loads(_config_file(self.path).read_text())
        self._write(about, replace(self.config, run=self.stored.run))

    def _write(self, about: Mapping[str, Any], config: SearchConfig) -> None:
        """Write ``config.json``, the config and what else is known of the run, and ``run.toml``."""
        content = {**about, "config": config.to_dict()}
        write_text(_config_file(self.path), json.dumps(content, indent=2) + "\n")
        write_text(self.path / config_file.NAME, config_file.as_toml(config))

    def finish(self) -> None:
        """Record that the search is done and has its report."""
        with plain_errors(str(self.path)):
            (self.path / FINISHED).touch()

    def scores(self, compute: Callable[[], Mapping[str, Scores]]) -> Mapping[str, Scores]:
        """The scores that were stored when the run began; without any, compute and store them."""
        path = self.path / "scores.pt"
        stored = cache.load(path)
        if stored is None:
            stored = dict(compute())
            cache.save(path, stored)
        return stored


def resolve_folder(options: Mapping[str, Any], also_finished: bool = False) -> Folder:
    """The folder that these options mean; nothing is created yet.

    With ``resume`` it is the named run, or the latest unfinished one, and options that are not
    given are those of that run; what may grow may be given, and extends it. Otherwise it is a new
    folder, or that of the named run if it has the same config and is not finished.

    Args:
        also_finished: the latest run to resume may be finished.

    Raises:
        UserError: nothing to resume, a finished run or another folder of that name, or another
            config than the run began with, naming the differences.
    """
    config = SearchConfig.of(**options)
    if options.get("name") == "":
        raise UserError("--name must name a folder in --runs-dir, but got ''; leave it out")
    runs = Path(config.run.runs_dir)
    _check_writable(runs)
    if config.run.storage is not None:
        database.parsed(config.run.storage)
    name = config.run.name
    if not name:
        name = _latest(runs, also_finished) if config.run.resume else _new_name(config, runs)
    path = runs / name
    if not _config_file(path).is_file():
        return Folder(_vacant(path, config.run), config.having(name=name))
    stored = _stored(path)
    _check_storage(path, stored.run.storage, options)
    if config.run.resume:
        usual = {"max_hours": None, **_cluster_defaults(stored, options)}
        config = stored.having(**{**usual, **_extended(stored, options)})
    elif finished(path):
        raise UserError(
            f"--name must be new, but {path} holds a finished run; choose another name, extend it "
            "with --resume and more --trials, say, or remove the folder"
        )
    _check_same(stored, config, path)
    return Folder(path, config.having(name=name))


def _extended(stored: SearchConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options to go on with: what may be several, budgets say, is added to what the run has.

    A further budget has as many trials as those before.

    Raises:
        UserError: there would be none.
    """
    names = stored.spellings()
    extended = {names[name]: value for name, value in options.items()}
    for part, field in stored.leaves():
        own = getattr(part, field.name)
        if field.metadata["grows"] and isinstance(own, tuple) and field.name in extended:
            given = field.metadata["read"](extended[field.name])
            extended[field.name] = own + tuple(one for one in given if one not in own)
    own, trials = stored.policies.budget, stored.policies.trials
    every = extended.get("budget", own)
    enough = trials * len(every) // len(own)
    if every == own:
        return extended
    extended.setdefault("trials", enough)
    if not extended["trials"] > trials:
        raise UserError(
            f"--trials must rise above {trials} with a further --budget, whose policies are still "
            f"to be tried, but got {extended['trials']}; give {enough}, or leave --trials out"
        )
    return extended


def _check_same(stored: SearchConfig, config: SearchConfig, path: Path) -> None:
    """Refuse another config than the run's, unless it is resumed and has only grown."""
    resumed = config.run.resume
    if not (differences := stored.differences(config, grown=resumed)):
        return
    hint = "leave these out" if resumed else "leave these out (with --resume)"
    if not resumed and not stored.differences(config, grown=True):
        hint = "add --resume to extend it"
    raise UserError(
        f"a run is resumed with the config it began with, but {path} differs: "
        f"{'; '.join(differences)}; {hint}{'' if resumed else ', or choose another --name'}"
    )


def _check_storage(path: Path, begun: str | None, options: Mapping[str, Any]) -> None:
    given = options.get("storage")
    if given is None and (begun is None or options.get("resume")):
        return
    stored, current = (url and database.shown(url) for url in (begun, given))
    if stored != current:
        raise UserError(
            f"a run stays in the storage it began in, but {path} has {stored or 'study.db'}, "
            f"and --storage is {current or 'not given'}; choose another --name for another storage"
        )


def _cluster_defaults(stored: SearchConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """Unset the cluster options of the run if it goes on with another engine."""
    if options.get("engine", stored.run.engine) == stored.run.engine:
        return {}
    usual = RunConfig()
    names = ("address", "cpus_per_trial", "gpus_per_trial")
    return {name: getattr(usual, name) for name in names if name not in options}


def _check_writable(runs: Path) -> None:
    """Refuse at once; the folder itself is created only when the run begins."""
    existing = next(p for p in (runs, *runs.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):  # os.access always says yes to root
            return
    except OSError as error:
        raise UserError(
            f"--runs-dir must be a folder that can be written, but {existing} is not"
        ) from error


def finished(path: Path) -> bool:
    """Whether the search has ended; a report may be made before."""
    return (path / FINISHED).is_file()


def _config_file(path: Path) -> Path:
    return path / "config.json"


def _stored(path: Path) -> SearchConfig:
    try:
        return SearchConfig.from_dict(json.loads(_config_file(path).read_text())["config"])
    except UserError as error:
        raise UserError(
            f"{_config_file(path)} must have options that this version knows, but has others: "
            f"{error}; use the version that began the run, or begin another one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{_config_file(path)} must be what a run wrote, but it is not; {_without_config(path)}"
        ) from error


def _without_config(path: Path) -> str:
    """What to do about a run whose ``config.json`` is lost."""
    read = f"; `python search.py report {quote(str(path))}` still reads its results"
    known = read if (path / "study.db").is_file() else ""
    return f"put a copy of it there, or choose another --name{known}"


def _vacant(path: Path, run: RunConfig) -> Path:
    if (path / "study.db").is_file():
        raise UserError(
            f"{path} is a run, so it must have its config.json, but that is missing; "
            f"{_without_config(path)}"
        )
    if run.resume:
        raise UserError(f"--resume needs a run to go on with, but there is none at {path}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"--name must be new or name a run, but {path} exists and is none; choose another name"
        )
    return path


def _latest(runs: Path, also_finished: bool) -> str:
    begun = list(runs.glob("*/config.json"))
    begun = [file for file in begun if also_finished or not finished(file.parent)]
    if not begun:
        raise UserError(
            f"--resume needs a run that is not finished, but {runs} holds none; name one with "
            "--name, or leave --resume out to begin one"
        )
    return max(begun, key=lambda file: file.stat().st_mtime).parent.name


def _new_name(config: SearchConfig, runs: Path) -> str:
    """A name of model and budgets, with a number from the second such run on."""
    stem = re.sub(
        r"[^\w.-]+", "-", "-".join([config.task.task or config.task.model, *config.policies.budget])
    )
    stem = stem.lstrip(".")[:LONGEST_STEM]
    number = 1
    while (runs / (name := stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return name


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Lock a folder until the end of the block, or of the process; files in it may be replaced."""
    if fcntl is None:
        yield
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path} must be free, but another process works on that run") from None
        yield
    finally:
        os.close(opened)
