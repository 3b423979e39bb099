"""Benchmarks follow the code: all of them can be imported."""

from pathlib import Path

from commands import program
from waiting import PATIENCE

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = """
import importlib, pathlib, sys
sys.path.insert(0, sys.argv[1])
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    importlib.import_module(path.stem)
"""


def test_all_can_be_imported() -> None:
    done = program(SCRIPT, str(FOLDER))
    _, errors = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, errors
