"""``torch.export``'s own file, which torch runs without the network's code."""

from __future__ import annotations

from pathlib import Path

import torch

from search.exporting.formats import Format, Run
from search.exporting.subject import Subject
from spaces.errors import ModelError, in_one_line, quiet


class Pt2(Format):
    """One ``.pt2`` file."""

    title, runtime = "torch.export", "torch.export.load"

    def names(self, stem: str) -> list[str]:
        return [f"{stem}.pt2"]

    def write(self, subject: Subject, folder: Path, stem: str) -> None:
        must = "the network must be one that torch.export.save takes, but it fails with"
        with in_one_line(ModelError, must, "export --to safetensors"), quiet("torch"):
            torch.export.save(subject.program, folder / f"{stem}.pt2")

    def read(self, subject: Subject, folder: Path, stem: str) -> Run:
        with quiet("torch"):
            return torch.export.load(folder / f"{stem}.pt2").module()

    def usage(self, subject: Subject, stem: str) -> list[str]:
        return [
            "import torch",
            f'model = torch.export.load("{stem}.pt2").module()',
            f"outputs = model({', '.join(subject.input_names)})",
        ]
