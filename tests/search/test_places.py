"""Where a run is kept: names that are too long, places that may not be used, another engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import search.commands  # noqa: F401 (not to be imported by somebody who may not read it)
from search.cli import main
from search.config import SearchConfig
from search.errors import refused_path
from search.folder import resolve_folder

NOBODY = 65534


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder of runs that this process may not read, whoever runs it."""
    folder, user = tmp_path / "locked", os.geteuid()
    (folder / "one").mkdir(parents=True)
    folder.chmod(0)
    if user == 0:
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


@pytest.mark.parametrize("command", ["--name one --runs-dir", "--resume --runs-dir", "report"])
def test_a_folder_that_may_not_be_used_is_the_last_thing_said(
    command: str, locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), str(locked if "dir" in command else locked / "one")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert str(locked.parent) in line
    assert "permission denied; mend that" in line or "a folder that can be written" in line


def test_only_what_the_system_refuses_us_is_refused() -> None:
    assert refused_path(FileNotFoundError(2, "No such file", "/x")) is None
    assert refused_path(OSError("broken")) is None
    assert refused_path(KeyError("/x")) is None
    told = "/x must be readable and writable, but got: is a directory; mend that, or name another"
    assert str(refused_path(IsADirectoryError(21, "Is a directory", "/x"))).startswith(told)


def test_a_name_that_no_file_system_takes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", "x" * 300]) == 2
    told = "error: --name must have at most 255 bytes between slashes, but got 300: xxxxxxxx"
    assert capsys.readouterr().err.startswith(told)


def test_a_name_made_from_model_and_budgets_has_an_end(tmp_path: Path) -> None:
    options = {"model": f"{'m' * 200}:build", "budget": [n / 1000 for n in range(500, 540)]}
    folder = resolve_folder({**options, "runs_dir": str(tmp_path)})
    assert folder.path == tmp_path / ("m" * 60)
    folder.path.mkdir()
    assert resolve_folder({**options, "runs_dir": str(tmp_path)}).path == tmp_path / (
        "m" * 60 + "-2"
    )


def test_a_run_of_a_cluster_goes_on_here_without_the_clusters_options(tmp_path: Path) -> None:
    begun = SearchConfig.of(engine="ray", cpus_per_trial=4, gpus_per_trial=0.5, address="auto")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps({"config": begun.to_dict()}))
    options = {"resume": True, "name": "mine", "runs_dir": str(tmp_path)}
    here = resolve_folder({**options, "engine": "local"}).config.run
    assert (here.cpus_per_trial, here.gpus_per_trial, here.address) == (1.0, None, None)
    there = resolve_folder(options).config.run
    assert (there.cpus_per_trial, there.gpus_per_trial, there.address) == (4, 0.5, "auto")
