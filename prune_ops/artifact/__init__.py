"""artifact: a pruned network on disk, and how it is rebuilt from its unpruned architecture.

==============  ==================================================================================
``weights.pt``  the ``state_dict``
``kept.pt``     which positions of the unpruned tensors were kept, the tensors that no state_dict
                holds, and one forward pass to verify a rebuilt network
``policy.json`` ``{"format": 2, "widths": …, "info": …}``
==============  ==================================================================================

No file holds pickled code: torch reads them with ``weights_only=True``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.artifact.files import must_exist, on_cpu, packed, read, write
from prune_ops.artifact.passes import Pass, informative, mismatch, reproducible_pass
from spaces import copied, fit_to_state
from spaces.errors import DataError, ModelError
from spaces.inputs import Inputs, arguments
from spaces.models import check_model
from spaces.policy import Policy
from spaces.slicing import Origin, origin, remember
from spaces.state import is_plain, plain_state, unsaved

FORMAT = 2
"""Format 1 had no ``kept.pt``."""


@dataclass(frozen=True)
class Extras:
    """The content of ``kept.pt``, all tensors on the CPU.

    Attributes:
        cut: (parameter or buffer, dim, ascending positions kept of the unpruned tensor) for every
            dim that was cut; None if unknown.
        buffers: the tensors that no ``state_dict`` holds, and buffers that are None, by name.
        inputs: of a forward pass in eval mode; None if no example is known.
        outputs: all its tensors; None if there is nothing to compare with.
        tolerance: see `Pass`.
    """

    cut: list[tuple[str, int, Tensor]] | None = None
    buffers: Mapping[str, Tensor | None] = field(default_factory=dict)
    inputs: Inputs | None = None
    outputs: list[Tensor] | None = None
    tolerance: float = 0.0


def save(
    folder: str | Path,
    model: nn.Module,
    policy: Policy,
    info: Mapping[str, Any] | None = None,
    example: Any = None,
) -> None:
    """Write a pruned model so that :func:`load` rebuilds it on any machine.

    >>> save("runs/digits/models/12", small, policy, {"val_accuracy": 0.97})  # doctest: +SKIP

    Each file is replaced in one step, ``policy.json`` last. ``model`` is unchanged.

    Args:
        folder: made if missing; an artifact in it is replaced.
        info: JSON data about the model.
        example: the model's inputs (a tensor, a tuple, or a dict by name), for the forward pass
            that :func:`load` repeats; by default those that its space was discovered with. No pass
            is kept if they are unknown or hold anything but tensors and plain values, nor of a
            network that is not deterministic.

    Raises:
        DataError: the folder cannot be written, ``info`` is no JSON data, or a module's extra state
            is not of tensors and plain values.
        ModelError: the network does not run on the example, or cannot be copied.
    """
    _check_policy(model, policy)
    state = plain_state(model)
    content = {
        "kept.pt": packed(vars(_extras(model, state, example))),
        "weights.pt": packed(on_cpu(state)),
        "policy.json": _metadata(policy, info),
    }
    write(Path(folder), content)


def load(fresh_model: nn.Module, folder: str | Path, verify: bool = True) -> nn.Module:
    """The pruned model that :func:`save` wrote, built from its unpruned architecture.

    >>> small = load(resnet20(classes=10), "runs/digits/models/12")  # doctest: +SKIP

    Args:
        fresh_model: the unpruned architecture with any weights; it is unchanged. The result has its
            device and its training mode, and the dtypes that were saved.
        folder: as given to :func:`save`.
        verify: run the stored inputs in eval mode and compare the outputs. The network's code is
            not in the artifact: only this detects another activation function.

    Raises:
        DataError: a file is missing, damaged, of a later format, holds pickled code (which is never
            run), or is of another architecture.
        ModelError: ``fresh_model`` is no plain network: compiled, or on the meta device, say.
    """
    check_model(fresh_model)
    path = Path(folder)
    number, _ = _read_metadata(path)
    state = read(path / "weights.pt")
    extras = _read_extras(path / "kept.pt") if number > 1 else Extras()
    model = copied(fresh_model, apart=False)
    try:
        fit_to_state(model, {**state, **extras.buffers})
    except ModelError as error:
        name = type(model).__name__
        raise DataError(f"{path / 'weights.pt'} does not fit {name}: {error}") from error
    if extras.cut is not None:
        kept = {(name, dim): at.numpy() for name, dim, at in extras.cut}
        remember(model, Origin(kept, extras.inputs))
    if verify and extras.inputs is not None and extras.outputs is not None:
        wrong = mismatch(model, extras.inputs, Pass(extras.outputs, extras.tolerance))
        if wrong:
            raise DataError(
                f"the network loaded from {path} must compute what was saved, but {wrong}; build "
                "the architecture that was pruned, or give load(..., verify=False)"
            )
    return model


def load_policy(folder: str | Path) -> Policy:
    """The policy of an artifact, or a DataError if ``policy.json`` is missing or damaged."""
    return _read_metadata(Path(folder))[1]


def _check_policy(model: nn.Module, policy: Policy) -> None:
    if not isinstance(policy, Policy):
        raise DataError(
            "a network is saved with its policy, a spaces.Policy, but got "
            f"{type(policy).__name__}; give the one that it was pruned by"
        )
    source = origin(model)
    widths = None if source is None else source.widths
    if widths is not None and dict(policy) != dict(widths):
        name = next(n for n in {**widths, **policy} if widths.get(n) != policy.get(n))
        raise DataError(
            f"a network is saved with the policy that it was pruned by, but {name!r} has "
            f"{widths.get(name)} channels and {policy.get(name)} in the policy; give that one"
        )


def _metadata(policy: Policy, info: Mapping[str, Any] | None) -> bytes:
    metadata = {"format": FORMAT, "widths": dict(policy), "info": dict(info or {})}
    try:
        return (json.dumps(metadata, indent=2) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"info must be what JSON can say, but got: {error}; give numbers, strings, lists and "
            "dicts"
        ) from error


def _read_metadata(folder: Path) -> tuple[int, Policy]:
    """Format and policy of an artifact."""
    path = folder / "policy.json"
    must_exist(path)
    try:
        metadata = json.loads(path.read_text())
        if metadata["format"] in range(1, FORMAT + 1):
            return metadata["format"], Policy(metadata["widths"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} must be what save() wrote, but is damaged; save it again"
        ) from error
    raise DataError(
        f"{path} must be of format {FORMAT} or earlier, but is of format {metadata['format']}; "
        "upgrade this package"
    )


def _extras(model: nn.Module, saved: Mapping[str, Any], example: Any) -> Extras:
    """What to store beside ``saved``, the ``state_dict``; errors as of `save`."""
    source, cut = origin(model), None
    if source is not None:
        cut = [(name, dim, torch.from_numpy(at)) for (name, dim), at in source.kept.items()]
    buffers = on_cpu(unsaved(model, saved))
    if example is not None:
        inputs = arguments(model, example)
    elif source is not None and source.example is not None:
        inputs = informative(model, source.example)
    else:
        return Extras(cut, buffers)
    result = reproducible_pass(model, inputs)
    if not is_plain(inputs):
        return Extras(cut, buffers)
    if result is None:
        return Extras(cut, buffers, on_cpu(inputs))
    return Extras(cut, buffers, on_cpu(inputs), result.outputs, result.tolerance)


def _read_extras(path: Path) -> Extras:
    try:
        return Extras(**read(path))
    except TypeError as error:
        raise DataError(f"{path} must be what save() wrote, but is not; save it again") from error
