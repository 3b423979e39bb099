"""A search without ``--storage``: one process, and nothing of sharing in it."""

from __future__ import annotations

from pathlib import Path

from commands import program
from waiting import PATIENCE

PROGRAM = """
import sys

import torch

import search
from search import models

weights = sys.argv[1] + "/digits.pt"
torch.save(models.build("digits_small", classes=10, in_channels=1).state_dict(), weights)
search.search(
    trials=2, final_epochs=1, final_seeds=1, lr=0.005, train_images=128,
    weights=weights, name="mine", runs_dir=sys.argv[1], device="cpu",
)
print(*sorted(name for name in sys.modules if name.startswith("search.sharing")))
"""


def test_a_single_process_never_imports_the_package_of_sharing(tmp_path: Path) -> None:
    done = program(PROGRAM, str(tmp_path))
    output, errors = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, errors
    assert output.splitlines()[-1] == ""
    assert (tmp_path / "mine" / "report.html").is_file()
