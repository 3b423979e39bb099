"""artifact: a pruned model on disk, ``policy.json`` beside ``weights.pt``, no pickled classes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spaces import copied, fit_to_state
from spaces.errors import DataError, ModelError
from spaces.policy import Policy

FORMAT = 1


def save(
    folder: str | Path, model: nn.Module, policy: Policy, info: Mapping[str, Any] | None = None
) -> None:
    """Write a pruned model so that :func:`load` rebuilds it on any machine.

    >>> save("runs/digits/models/12", small, policy, {"val_accuracy": 0.97})  # doctest: +SKIP

    ``policy.json`` holds ``{"format": 1, "widths": …, "info": …}``; ``weights.pt`` the state_dict,
    on the CPU. Each file is complete or absent, and ``policy.json`` comes last.

    Args:
        folder: made if missing; an artifact in it is replaced.
        info: whatever JSON can say about the model.

    Raises:
        DataError: the folder cannot be written.
    """
    about = {"format": FORMAT, "widths": dict(policy), "info": dict(info or {})}
    text = json.dumps(about, indent=2) + "\n"
    weights = io.BytesIO()
    torch.save({name: _plain(value) for name, value in model.state_dict().items()}, weights)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "weights.pt", weights.getvalue())
        _replace(folder / "policy.json", text.encode())
    except OSError as error:
        raise DataError(
            f"{folder} must be writable, but got: {error.strerror or error}; make room or choose "
            "another folder"
        ) from error


def load(fresh_model: nn.Module, folder: str | Path) -> nn.Module:
    """The pruned model that :func:`save` wrote, built from its unpruned architecture.

    >>> small = load(resnet20(classes=10), "runs/digits/models/12")  # doctest: +SKIP

    Args:
        fresh_model: the unpruned architecture with any weights; it stays as it is. The result has
            its device and its training mode.
        folder: what :func:`save` was given.

    Raises:
        DataError: a file is missing, damaged, of a later format, holds pickled code (which is never
            run), or is of another architecture.
    """
    load_policy(folder)
    path = Path(folder) / "weights.pt"
    state = _read_state(path)
    model = copied(fresh_model)
    try:
        fit_to_state(model, state)
    except ModelError as error:
        raise DataError(f"{path} does not fit {type(model).__name__}: {error}") from error
    return model


def load_policy(folder: str | Path) -> Policy:
    """The policy of the artifact in ``folder``.

    Raises:
        DataError: ``policy.json`` is missing, damaged or of a later format.
    """
    path = Path(folder) / "policy.json"
    _must_exist(path)
    try:
        about = json.loads(path.read_text())
        if about["format"] == FORMAT:
            return Policy(about["widths"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} must be what save() wrote, but is damaged; save it again"
        ) from error
    raise DataError(
        f"{path} must be of format {FORMAT}, but is of format {about['format']}; "
        "upgrade this package"
    )


def _plain(value: Tensor) -> Tensor:
    # A clone, since a tensor that views a larger storage is saved with all of it.
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is complete or absent, whenever the process dies."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _must_exist(path: Path) -> None:
    if not path.is_file():
        missing = path if path.parent.is_dir() else path.parent
        raise DataError(f"{missing} must exist, but does not; give a folder that save() wrote")


def _read_state(path: Path) -> dict[str, Tensor]:
    """The state_dict in a file, by the loader that knows tensors and no code."""
    _must_exist(path)
    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} must hold tensors only, but holds pickled code, which was not run; "
            "give a file that save() wrote"
        ) from error
    except Exception as error:  # damaged bytes can raise anything
        raise DataError(f"{path} must be a torch file, but is damaged; save it again") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise DataError(
            f"{path} must hold a state_dict, but does not; give a file that save() wrote"
        )
    return state


def _check_archive(path: Path) -> None:
    """A zip whose checksums hold: torch reads flipped bytes of a tensor without a word."""
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise zipfile.BadZipFile(broken)
