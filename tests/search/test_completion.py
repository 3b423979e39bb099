"""Completion: what bash itself offers after a few words, and that there is a script for others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from search.cli import COMMANDS, main
from search.config import SearchConfig
from search.options import flag
from search.parsers import PARSERS, SHELLS
from search.policies import SAMPLERS

ASK = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p pruning-search | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a script for each shell."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        with pytest.MonkeyPatch.context() as patched, open(folder / shell, "w") as file:
            patched.setattr("sys.stdout", file)
            with pytest.raises(SystemExit) as end:
                main(["--completion", shell])
        assert end.value.code == 0
    return Path(folder)


@pytest.fixture
def offered(scripts: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """What bash offers for the last of some words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")

    def ask(*words: str) -> list[str]:
        command = [bash, "-c", ASK, "ask", str(scripts / "bash"), "pruning-search", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        assert done.stderr == ""
        return sorted(done.stdout.split())

    return ask


def test_every_command_has_a_parser() -> None:
    assert PARSERS.keys() == COMMANDS.keys()


def test_bash_offers_commands_options_names_and_files(
    offered: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "run.toml").touch()
    (tmp_path / "mine").mkdir()
    assert offered("") == sorted(COMMANDS)
    assert offered("comp") == ["compare"]
    assert offered("--trai") == ["--train", "--train-images", "--train-loop"]
    assert offered("--sampler", "") == sorted(SAMPLERS)
    assert offered("--starts", "l1", "taylor_20") == ["taylor_2016", "taylor_2019"]
    assert offered("--config", "") == ["mine", "run.toml"]
    assert offered("compare", "m") == ["mine"]
    assert offered("compare", "--arms", "finetune-") == ["finetune-small"]
    assert offered("export", "--to", "") == ["onnx", "pt2", "safetensors"]
    assert offered("inspect", "--js") == ["--json"]


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_a_script_with_every_option_for(shell: str, scripts: Path) -> None:
    script = (scripts / shell).read_text()
    begin = "-l " if shell == "fish" else "--"
    words = [flag(option.name)[2:] for _, option in SearchConfig().leaves()]
    assert all(f"{begin}{word}" in script for word in (*words, *("dry-run", "quiet", "json")))
    assert all(command in script for command in COMMANDS)
    assert "--coin" not in script  # former names are understood, and not offered


def test_another_shell_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", "bsh"]) == 2
    assert capsys.readouterr().err == (
        "error: unknown shell 'bsh', did you mean 'bash'? Known: bash, fish, zsh\n"
    )
