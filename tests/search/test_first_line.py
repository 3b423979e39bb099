"""Help, slips of the keyboard and the first line are there at once: nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "optuna", "sqlalchemy", "scipy", "matplotlib", "sklearn", "ray")
CODE = f"""
import sys

import search, spaces, prune_ops, results
from search.cli import main

try:
    code = main(sys.argv[1:])
finally:
    print("imported", *(name for name in {HEAVY} if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--help", "usage: python search.py"),
        ("compare --help", "usage: python search.py compare"),
        ("inspect --help", "usage: python search.py inspect"),
        ("solve --help", "usage: python search.py solve"),
        ("export --help", "usage: python search.py export"),
        ("export RUN --to onx", "error: argument --to: invalid choice: 'onx'"),
        ("report --help", "usage: python search.py report"),
        ("--budgt 0.5", "error: unrecognized arguments: --budgt 0.5"),
        ("--criterion l3", "error: unknown criterion 'l3', did you mean 'l2'?"),
        ("--trials 0", "error: --trials must be at least 1, but got 0"),
        ("--config none.toml", "error: --config must be a file of options, but none.toml is none"),
        ("--completion bash", "-F _shtab_pruning_search pruning-search"),
        ("serch", "error: unknown command 'serch'"),
    ],
)
def test_the_answer_needs_no_heavy_import(arguments: str, says: str) -> None:
    ended = run(arguments)
    assert says in ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1].strip() == "imported"


def test_before_the_heavy_imports_a_line_says_so(tmp_path: Path) -> None:
    ended = run(f"report {tmp_path / 'none'}")
    assert ended.stderr.splitlines()[0] == "report: loading torch"
    assert ended.stdout.startswith("imported torch pandas optuna")


def run(arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, *arguments.split()]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
