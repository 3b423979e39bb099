"""The weights alone, under the names of the modules that own them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from prune_ops.artifact.files import on_cpu
from search.exporting.formats import Format, Run
from search.exporting.subject import Subject
from spaces import copied
from spaces.errors import ModelError, in_one_line
from spaces.slicing import named_tensors


class SafeTensors(Format):
    """One ``.safetensors`` file; of shared weights it has one, under its first name."""

    title, runtime, traced = "safetensors", "safetensors", False

    def names(self, stem: str) -> list[str]:
        return [f"{stem}.safetensors"]

    def write(self, subject: Subject, folder: Path, stem: str) -> None:
        write_tensors(named_tensors(subject.model), subject.widths, folder / self.names(stem)[0])

    def read(self, subject: Subject, folder: Path, stem: str) -> Run:
        tensors = load_file(folder / f"{stem}.safetensors")
        model = copied(subject.model)
        with torch.no_grad():
            for name, own in named_tensors(model).items():
                own.data = tensors[name]
        return model

    def usage(self, subject: Subject, stem: str) -> list[str]:
        return [
            "from safetensors.torch import load_model",
            f'load_model(model, "{stem}.safetensors")  # a model of the widths above',
            "outputs = model.eval()(...)",
        ]


def write_tensors(tensors: Mapping[str, Tensor], widths: Mapping[str, int], path: Path) -> None:
    """Write tensors by name, and in the file's metadata the policy as JSON.

    Raises:
        ModelError: one is sparse, say.
    """
    metadata = {"format": "pt", "widths": json.dumps(dict(widths))}
    must = "every weight must be of a kind that safetensors holds, but writing them fails with"
    with in_one_line(ModelError, must, "export --to pt2"):
        path.write_bytes(save(on_cpu(dict(tensors)), metadata))
