"""artifact: a pruned network on disk, and the way back from its unpruned architecture.

==============  ==================================================================================
``weights.pt``  the ``state_dict``
``kept.pt``     which positions of the unpruned tensors stayed, the tensors that no state_dict
                holds, and one forward pass to hold a rebuilt network against
``policy.json`` ``{"format": 2, "widths": …, "info": …}``
==============  ==================================================================================

No file holds pickled code: torch reads them with ``weights_only=True``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from prune_ops.artifact.check import verified
from prune_ops.artifact.files import must_exist, on_cpu, packed, read, write
from prune_ops.artifact.kept import Kept, kept_in, kept_of
from prune_ops.artifact.passes import Pass
from spaces import copied, fit_to_state
from spaces.errors import DataError, ModelError
from spaces.models import check_model
from spaces.policy import Policy
from spaces.slicing import origin, remember
from spaces.state import plain_state

FORMAT = 2
"""Format 1 had no ``kept.pt``."""


def save(
    folder: str | Path,
    model: nn.Module,
    policy: Policy,
    info: Mapping[str, Any] | None = None,
    example: Any = None,
) -> None:
    """Write a pruned model so that :func:`load` rebuilds it on any machine.

    >>> save("runs/digits/models/12", small, policy, {"val_accuracy": 0.97})  # doctest: +SKIP

    Each file is complete or as it was, and ``policy.json`` comes last. ``model`` stays as it is.

    Args:
        folder: made if missing; an artifact in it is replaced.
        info: whatever JSON can say about the model.
        example: what the model is called with (a tensor, a tuple, or a dict by name), for the
            forward pass that :func:`load` repeats; by default what its space was discovered with.
            No pass is kept where that is not known, nor of a network that gives something else
            each time, nor where the example holds other things than tensors and plain values.

    Raises:
        DataError: the folder cannot be written, JSON cannot say ``info``, or a module's extra state
            is not of tensors and plain values.
        ModelError: the network does not run on the example, or cannot be copied.
    """
    _check_policy(model, policy)
    state = plain_state(model)
    content = {
        "kept.pt": kept_of(model, state, example).packed(),
        "weights.pt": packed(on_cpu(state)),
        "policy.json": _about(policy, info),
    }
    write(Path(folder), content)


def load(fresh_model: nn.Module, folder: str | Path, verify: bool = True) -> nn.Module:
    """The pruned model that :func:`save` wrote, built from its unpruned architecture.

    >>> small = load(resnet20(classes=10), "runs/digits/models/12")  # doctest: +SKIP

    Args:
        fresh_model: the unpruned architecture with any weights; it stays as it is. The result has
            its device and its training mode, and the dtypes that were saved.
        folder: what :func:`save` was given.
        verify: run the stored inputs in eval mode and compare what comes out. The code of the
            network is not in the artifact: another activation function is found by this alone.

    Raises:
        DataError: a file is missing, damaged, of a later format, holds pickled code (which is never
            run), or is of another architecture.
        ModelError: ``fresh_model`` is no plain network: compiled, or on the meta device, say.
    """
    check_model(fresh_model)
    path = Path(folder)
    number, _ = _read_about(path)
    state = read(path / "weights.pt")
    kept = kept_in(path / "kept.pt") if number > 1 else Kept()
    model = copied(fresh_model, apart=False)
    try:
        fit_to_state(model, {**state, **kept.buffers})
    except ModelError as error:
        name = type(model).__name__
        raise DataError(f"{path / 'weights.pt'} does not fit {name}: {error}") from error
    if kept.origin is not None:
        remember(model, kept.origin)
    if verify:
        _verify(model, kept, path)
    return model


def load_policy(folder: str | Path) -> Policy:
    """The policy of the artifact in ``folder``.

    Raises:
        DataError: ``policy.json`` is missing, damaged or of a later format.
    """
    return _read_about(Path(folder))[1]


def _check_policy(model: nn.Module, policy: Policy) -> None:
    if not isinstance(policy, Policy):
        raise DataError(
            "a network is saved with its policy, a spaces.Policy, but got "
            f"{type(policy).__name__}; give the one that it was pruned by"
        )
    came = origin(model)
    if came is not None and came.widths is not None and dict(policy) != dict(came.widths):
        different = [n for n in {**came.widths, **policy} if came.widths.get(n) != policy.get(n)]
        raise DataError(
            f"a network is saved with the policy that it was pruned by, but {different[0]!r} has "
            f"{came.widths.get(different[0])} channels and {policy.get(different[0])} in the policy"
            "; give that one"
        )


def _about(policy: Policy, info: Mapping[str, Any] | None) -> bytes:
    about = {"format": FORMAT, "widths": dict(policy), "info": dict(info or {})}
    try:
        return (json.dumps(about, indent=2) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"info must be what JSON can say, but got: {error}; give numbers, strings, lists and "
            "dicts"
        ) from error


def _read_about(folder: Path) -> tuple[int, Policy]:
    """Format and policy of an artifact."""
    path = folder / "policy.json"
    must_exist(path)
    try:
        about = json.loads(path.read_text())
        if about["format"] in range(1, FORMAT + 1):
            return about["format"], Policy(about["widths"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} must be what save() wrote, but is damaged; save it again"
        ) from error
    raise DataError(
        f"{path} must be of format {FORMAT} or earlier, but is of format {about['format']}; "
        "upgrade this package"
    )


def _verify(model: nn.Module, kept: Kept, path: Path) -> None:
    if kept.inputs is None or kept.outputs is None:
        return
    if wrong := verified(model, kept.inputs, Pass(kept.outputs, kept.tolerance)):
        raise DataError(
            f"the network loaded from {path} must compute what was saved, but {wrong}; build the "
            "architecture that was pruned, or give load(..., verify=False)"
        )
