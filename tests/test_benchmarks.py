"""Benchmarks follow the code: all of them can be imported."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = """
import importlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    importlib.import_module(path.stem)
"""


def test_all_can_be_imported() -> None:
    where = os.pathsep.join([str(FOLDER), str(FOLDER.parent)])
    command = [sys.executable, "-c", SCRIPT, str(FOLDER)]
    environment = os.environ | {"PYTHONPATH": where}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
