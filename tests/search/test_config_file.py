"""``--config``: a file stands for what is typed, what is typed wins, and slips are one line."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from search.cli import COMMANDS, Typed, _search, main
from search.comparison.config import CompareConfig
from search.config import SearchConfig
from search.config_file import as_toml, options_in
from search.folder import Folder


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of options in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.toml"
    path.write_text(
        'model = "resnet20"\nbudget = [0.7, "60M"]\nfinal-epochs = 3\n'
        "[any-heading]\ntrials = 7\ncoin = 0.2\ngains = false\n"
    )
    return path


@pytest.mark.usefixtures("written")
def test_a_file_says_what_flags_say() -> None:
    flags = "--model resnet20 --budget 0.7 60M --final-epochs 3 --trials 7 --explore 0.2 --no-gains"
    read, typed = _search(["--config", "run.toml"]), _search(flags.split())
    assert SearchConfig.of(**read.options) == SearchConfig.of(**typed.options)
    assert read.options.keys() == typed.options.keys()


@pytest.mark.usefixtures("written")
def test_what_is_typed_wins() -> None:
    words = "--trials 9 --explore 0.3 --gains --quiet"
    typed = _search(["--config", "run.toml", *words.split()])
    config = SearchConfig.of(**typed.options)
    assert (config.policies.trials, config.judging.explore, config.training.gains) == (9, 0.3, True)
    assert config.training.final_epochs == 3


def test_what_options_break_together_the_command_line_may_mend(written: Path) -> None:
    written.write_text('loss = "mine:loss"\n')
    typed = _search(["--config", "run.toml", "--metric", "mine:metric"])
    assert typed.options["loss"] == "mine:loss"


@pytest.mark.parametrize("command", ["compare", "inspect"])
def test_other_commands_take_it_too(command: str, written: Path) -> None:
    written.write_text("round_to = 4\n" + ("seeds = 5\n" if command == "compare" else ""))
    options = COMMANDS[command](["--config", "run.toml"]).options
    assert options == {"round_to": 4} | ({"seeds": 5} if command == "compare" else {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trails = 3", "run.toml: unknown option 'trails', did you mean 'trials'? Nearest of "),
        ("[x]\ntrails = 3", "run.toml: unknown option 'trails', did you mean 'trials'?"),
        ("seeds = 3", "run.toml: unknown option 'seeds', did you mean"),
        ('trials = "many"', "run.toml: --trials must be a whole number, but got 'many'"),
        ("trials = 2.5", "run.toml: --trials must be a whole number, but got 2.5"),
        ("trials = 0", "run.toml: --trials must be at least 1, but got 0"),
        ("rungs = 3", "run.toml: --rungs must be several values, each a whole number, but got 3"),
        ("gains = 1", "run.toml: --gains must be True or False, but got 1"),
        ("budget = true", "run.toml: budget must be a fraction in (0, 1]"),
        ("budget = 2026-01-01", "run.toml: budget must be a fraction in (0, 1]"),
        ('sampler = "nsg2"', "run.toml: unknown sampler 'nsg2', did you mean 'nsga2'?"),
        ('name = "a\\u0000b"', "run.toml: --name must be plain text"),
        ("eta = 2\n[x]\neta = 3", "run.toml: eta must be given once, but is there twice"),
        ("explore = 0.1\ncoin = 0.1", "run.toml: explore must be given once"),
        ("trials 3", "--config must be TOML, but run.toml is not: Expected '=' after a key"),
        ("trials = 3\ntrials = 3", "--config must be TOML, but run.toml is not: Cannot overwrite"),
    ],
)
def test_a_slip_in_the_file_is_one_line(
    text: str, said: str, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_text(text)
    assert main(["--config", "run.toml"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {said}")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.toml", "must be a file of options, but none.toml is none: no such file or dir"),
        (".", "must be a file of options, but . is none: is a directory"),
        ("list.json", "must be TOML or the config.json of a run, but list.json is neither"),
        ("empty.json", "must be TOML or the config.json of a run, but empty.json is neither"),
        ("bytes.toml", "must be TOML, but bytes.toml is not: 'utf-8' codec can't decode"),
    ],
)
@pytest.mark.usefixtures("written")
def test_what_is_no_such_file_is_refused(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.json").write_text("[1]")
    Path("empty.json").write_text("{}")
    Path("bytes.toml").write_bytes(b'name = "\xff"')
    assert main(["--config", name]) == 2
    assert capsys.readouterr().err.startswith(f"error: --config {said}")


RUN = {"trials": 7, "lr": 1e-05, "rungs": (2, 5), "gains": False, "weights": 'a "b"\\é.pt'}


@pytest.mark.parametrize("kept", ["run.toml", "config.json"])
def test_a_runs_own_config_begins_the_same_again(kept: str, tmp_path: Path) -> None:
    config = SearchConfig.of(**RUN, name="mine", workers=3, max_hours=2.0)
    with Folder(tmp_path / "mine", config).locked():
        pass
    again = SearchConfig.of(**options_in(str(tmp_path / "mine" / kept), SearchConfig()))
    assert again.differences(config) == []
    assert again.run == SearchConfig().run  # how and where that ran is not taken over
    other = _search(["--config", str(tmp_path / "mine" / kept), "--trials", "9"])
    assert SearchConfig.of(**other.options).differences(config) == ["--trials 9 there, 7 here"]


def test_a_run_of_the_version_before_is_taken_too(tmp_path: Path) -> None:
    parts = {"judging": {"coin": 0.3}, "task": {"model": "resnet20", "weights": None}}
    (tmp_path / "config.json").write_text(json.dumps({"config": parts}))
    read = options_in(str(tmp_path / "config.json"), CompareConfig(), SearchConfig())
    assert read == {"explore": 0.3, "model": "resnet20"}


def test_what_is_written_is_toml_with_the_parts_as_headings() -> None:
    told = tomllib.loads(as_toml(SearchConfig.of(budget=[0.5, "60M"])))
    assert list(told) == ["task", "policies", "judging", "training"]
    assert told["policies"]["budget"] == ["0.5", "60M"]
    assert "weights" not in told["task"]  # TOML has no None


def test_without_it_nothing_changes() -> None:
    assert _search(["--trials", "3"]) == Typed({"trials": 3}, _search([]).verbosity)
