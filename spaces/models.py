"""Networks that cannot be searched as they come: told in one line, before anything is done."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from spaces.errors import ModelError


def check_model(model: nn.Module) -> None:
    """Refuse what is no plain, whole network.

    Raises:
        ModelError: it is no module, or it, or a module in it, is compiled, scripted, spread over
            devices, or has parameters whose shapes are not known yet.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the model must be a torch.nn.Module, but got {type(model).__name__}; give the network"
        )
    refused = {**_KINDS, **_compiled()}
    for name, module in model.named_modules():
        for kind, (what, hint) in refused.items():
            if isinstance(module, kind):
                where = f"{name!r} is" if name else "it is"
                raise ModelError(
                    f"the model must be {what}, but {where} a {type(module).__name__}; {hint}"
                )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise ModelError(
                f"the shapes of the model must be known, but {name!r} is lazy and has none yet; "
                "run the model once on an example before it is searched"
            )
        if tensor.is_meta:
            raise ModelError(
                f"the weights of the model must be there, but {name!r} is on the meta device; "
                "load them first"
            )


_PARALLEL = "give the network inside, model.module; every trial runs on one device"
_KINDS: dict[type, tuple[str, str]] = {
    torch.jit.ScriptModule: (
        "Python code",
        "give the network that was scripted, and script what comes out",
    ),
    nn.DataParallel: ("on one device", _PARALLEL),
    nn.parallel.DistributedDataParallel: ("on one device", _PARALLEL),
}
"""Kind of module → what the model must be instead, and what to do."""


def _compiled() -> dict[type, tuple[str, str]]:
    """What ``torch.compile`` makes. Its code, seconds long to import, made none if not imported."""
    code = sys.modules.get("torch._dynamo.eval_frame")
    hint = "give the network that was compiled, and compile what comes out"
    return {code.OptimizedModule: ("uncompiled", hint)} if code else {}
