"""artifact: a pruned network on disk, and how it is rebuilt from its unpruned architecture.

=====================  ===========================================================================
``model.safetensors``  the ``state_dict``; which positions of the unpruned tensors were kept, the
                       tensors that no state_dict holds, and one forward pass to verify a rebuilt
                       network; see `prune_ops.artifact.safetensors`
``policy.json``        ``{"format": 3, "widths": …, "info": …}``
=====================  ===========================================================================

No file holds code. Artifacts of earlier versions, see `prune_ops.artifact.earlier`, load too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prune_ops.artifact import earlier, safetensors
from prune_ops.artifact.extras import Extras
from prune_ops.artifact.files import must_exist, write
from prune_ops.artifact.passes import Pass, informative, mismatch, reproducible_pass
from prune_ops.artifact.structure import can_be_taken_apart
from spaces import copied, fit_to_state
from spaces.errors import DataError, ModelError
from spaces.inputs import arguments
from spaces.models import check_model
from spaces.policy import Policy
from spaces.slicing import Origin, origin, remember
from spaces.state import plain_state, unsaved

FORMAT = 3
"""Formats 1 and 2 are those of `prune_ops.artifact.earlier`."""
MODEL, POLICY = "model.safetensors", "policy.json"


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
        MODEL: safetensors.packed(state, _extras(model, state, example)),
        POLICY: _metadata(policy, info),
    }
    write(Path(folder), content, outdated=earlier.names(2))


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
    is_earlier = number < FORMAT
    state, extras = earlier.read(path, number) if is_earlier else safetensors.read(path / MODEL)
    model = copied(fresh_model, apart=False)
    try:
        fit_to_state(model, {**state, **extras.buffers})
    except ModelError as error:
        name = type(model).__name__
        raise DataError(f"{files(path)[0]} does not fit {name}: {error}") from error
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


def files(folder: str | Path) -> list[Path]:
    """The files that hold the network of an artifact, whether they are there or not.

    Raises:
        DataError: ``policy.json`` is missing or damaged.
    """
    number, _ = _read_metadata(Path(folder))
    names = [MODEL] if number == FORMAT else earlier.names(number)
    return [Path(folder) / name for name in names]


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
    path = folder / POLICY
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
    buffers = unsaved(model, saved)
    if example is not None:
        inputs = arguments(model, example)
    elif source is not None and source.example is not None:
        inputs = informative(model, source.example)
    else:
        return Extras(cut, buffers)
    result = reproducible_pass(model, inputs)
    if not can_be_taken_apart(inputs):
        return Extras(cut, buffers)
    if result is None:
        return Extras(cut, buffers, inputs)
    return Extras(cut, buffers, inputs, result.outputs, result.tolerance)
