"""ONNX, by the exporter of torch that works on ``torch.export``'s graph; read by onnxruntime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from search.exporting.formats import Format, Run
from search.exporting.subject import Program, Subject
from spaces.errors import ModelError, brief, quiet
from spaces.inputs import tensors

_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


class Onnx(Format):
    """One ``.onnx`` file with its weights."""

    title, runtime = "ONNX", "onnxruntime"
    packages, extra = ("onnx", "onnxscript", "onnxruntime"), "onnx"

    def names(self, stem: str) -> list[str]:
        return [f"{stem}.onnx"]

    def write(self, subject: Subject, folder: Path, stem: str) -> None:
        program, (args, kwargs) = subject.program, subject.arguments
        try:
            with quiet("torch"), quiet("onnxscript"):
                made = torch.onnx.export(
                    program,
                    args,
                    kwargs=kwargs,
                    dynamic_shapes=subject.shapes,
                    dynamo=True,
                    verbose=False,
                )
                assert made is not None
                made.save(folder / f"{stem}.onnx", external_data=False)
        except Exception as error:  # torch.onnx wraps whatever its parts raise
            raise _refused(error, program) from error

    def read(self, subject: Subject, folder: Path, stem: str) -> Run:
        import onnxruntime

        path = folder / f"{stem}.onnx"
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

        names = [known.name for known in session.get_inputs()]

        def run(*args: Any, **kwargs: Any) -> list[Tensor]:
            named = dict(zip(subject.input_names, tensors((args, kwargs)), strict=True))
            given = {name: named[name].numpy() for name in names}
            return [torch.from_numpy(output) for output in session.run(None, given)]

        return run

    def usage(self, subject: Subject, stem: str) -> list[str]:
        given = ", ".join(f'"{name}": {name}' for name in subject.input_names)
        return [
            "import onnxruntime",
            f'session = onnxruntime.InferenceSession("{stem}.onnx")',
            f"outputs = session.run(None, {{{given}}})  # of numpy arrays",
        ]


def _refused(error: BaseException, program: Program) -> ModelError:
    """The error for a network that has no ONNX, naming the operation that is to blame."""
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    if found := _MISSING.search(str(deepest)):
        operation = found[1]
        return ModelError(
            f"ONNX must have every operation of the network, but has not {operation}, called in "
            f"{_where(program, operation)}; write that module with other operations, or export "
            "--to pt2"
        )
    return ModelError(
        f"the network must be one that torch.onnx.export takes, but it fails with "
        f"{brief(deepest)}; export --to pt2"
    )


def _where(program: Program, operation: str) -> str:
    """The module that calls an operation of the program, or of what that is made of."""
    for graph in (program, program.run_decompositions()):
        for node in graph.graph.nodes:
            if _plain(str(node.target)) == _plain(operation):
                return _module(node)
    return "the network"


def _plain(operation: str) -> str:
    """``aten.special_bessel_j1.default`` and ``prims.bessel_j1`` alike as ``bessel_j1``."""
    parts = operation.split(".")
    return parts[min(1, len(parts) - 1)].removeprefix("special_")


def _module(node: fx.Node) -> str:
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values()), ("", ""))
    name = getattr(kind, "__name__", str(kind)).rpartition(".")[2]
    return f"{path!r} ({name})" if path else name or "the network"
