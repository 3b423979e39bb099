"""A search without ``--storage``: one process, and nothing of sharing in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys

import torch

import search
from search import models

weights = sys.argv[1] + "/digits.pt"
torch.save(models.build("digits_cnn", classes=10, in_channels=1).state_dict(), weights)
search.search(
    trials=2, final_epochs=1, final_seeds=1, train_images=128, weights=weights, name="mine",
    runs_dir=sys.argv[1], device="cpu",
)
print(*sorted(name for name in sys.modules if name.startswith("search.sharing")))
"""


def test_a_single_process_never_imports_the_package_of_sharing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
    assert (tmp_path / "mine" / "report.html").is_file()
