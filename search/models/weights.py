"""Weights from a file, put into a model, whose names and types they get."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import prune_ops
from prune_ops import artifact
from search.models.weight_files import WeightFile, read_state_dict
from spaces.errors import DataError, blamed
from spaces.state import empty, is_extra, set_state, state_of

WRAPPERS = frozenset(["module", "_orig_mod"])
"""Parts of names that ``DataParallel``, DDP and ``torch.compile`` put in."""
COUNTER = "n_averaged"
"""What ``torch.optim.swa_utils.AveragedModel`` has beside the weights."""
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
"""torchvision's extra heads of GoogLeNet and Inception, in its files but not in our models."""


def check_weights(path: str | Path) -> None:
    """Refuse a path at which there are no weights, before data are read.

    Raises:
        DataError: as of `given_weights`.
    """
    folder = _artifact(path)
    if folder is None:
        read_state_dict(path)
    else:
        prune_ops.load_policy(folder)


def given_weights(model: nn.Module, path: str | Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with the weights at ``path``, and what of them should be told, in clauses.

    It is ``model``, unless they are of a network that was pruned before: at the folder that
    `prune_ops.save` wrote, one of a run's ``models/`` say, or at the ``model.safetensors`` in it.

    Raises:
        DataError: as of `load_weights` or of `prune_ops.load`.
    """
    folder = _artifact(path)
    if folder is None:
        return model, load_weights(model, path)
    small = prune_ops.load(model, folder)
    had, has = (sum(p.numel() for p in network.parameters()) for network in (model, small))
    told = (
        f"the network at {folder} was pruned before, to {has:,} of {had:,} parameters: budgets are "
        "shares of what it is now"
    )
    return small, (told,) if has < had else ()


def _artifact(path: str | Path) -> Path | None:
    """The folder of a network that `prune_ops.save` wrote, if the path is of one."""
    path = Path(path)
    folder = path.parent if path.name == artifact.MODEL else path
    return folder if (folder / artifact.POLICY).is_file() else None


def load_weights(model: nn.Module, path: str | Path) -> tuple[str, ...]:
    """Put the weights of a file into ``model``, in place; what of that should be told, in clauses.

    The file holds a ``state_dict``, of ``torch.save`` or as safetensors, bare or in a checkpoint
    (`read_state_dict`). ``module.`` (DataParallel, DDP) and ``_orig_mod.`` (``torch.compile``) in
    names are dropped, as is a part that stands before all of them (``model.`` of a
    ``LightningModule``). Tensors are cast to the model's types. Nothing pickled is run.

    Raises:
        DataError: no such file, not a torch file, pickled code, keys or shapes that do not fit, or
            extra state that the model refuses.
    """
    file = read_state_dict(path)
    wanted, known = model.state_dict(), {*state_of(model), *empty(model)}
    state = _named_as(known, file.state)
    heads = {key for key in state if key.startswith(AUXILIARY_HEADS)} - wanted.keys()
    state = {key: value for key, value in state.items() if key not in heads}
    misfits = _misfits(state, wanted, known)
    if misfits:
        shown = "; ".join(misfits[:3])
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise DataError(
            f"weights must fit the model, but {path} does not: {shown}{more}; "
            "give the weights of this model, trained for as many classes as the data has (or as "
            "--classes says)"
        )
    cast = {key: _cast(value, wanted.get(key)) for key, value in state.items()}
    try:
        set_state(model, cast)  # misfits lets old BatchNorms lack their counter
    except Exception as error:  # set_extra_state and hooks are the user's own
        raise DataError(
            f"weights must be such as the model's load_state_dict takes, but with {path} it fails "
            f"with {blamed(error)}; give the weights of this model"
        ) from error
    return tuple(_told(file, state, cast))


def _named_as(known: set[str], state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under the names that the model has, as far as they are its own but for what was
    wrapped around it."""
    weights = state.keys() - ({COUNTER} - {*known})
    bare = {key if key in known else _unwrapped(key): key for key in state if key in weights}
    inner = {key.partition(".")[2]: old for key, old in bare.items()}
    one = len({key.partition(".")[0] for key in bare}) == 1
    if one and not known & bare.keys() and known & inner.keys():
        bare = inner
    if len(bare) < len(weights):  # two would have one name
        return dict(state)
    return {key: state[old] for key, old in bare.items()}


def _unwrapped(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in WRAPPERS)


def _cast(value: Any, own: Any) -> Any:
    """A tensor in the type of the model's own of that name."""
    if isinstance(value, Tensor) and isinstance(own, Tensor) and value.dtype != own.dtype:
        return value.to(own.dtype)
    return value


def _told(file: WeightFile, state: Mapping[str, Any], cast: Mapping[str, Any]) -> Iterator[str]:
    if file.others:
        others = " and ".join(file.others)
        yield (
            f"the weights are those under {'.'.join(file.place)}; the file has {others} too: to "
            "take those, save them in a file of their own"
        )
    changed = [
        key for key, new in cast.items() if new is not state[key] and new.is_floating_point()
    ]
    if types := sorted({_type(state[key]) for key in changed}):
        now = sorted({_type(cast[key]) for key in changed})
        yield f"the weights are {', '.join(types)} in the file and cast to {', '.join(now)}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _misfits(
    state: Mapping[str, Any], wanted: Mapping[str, Any], known: Collection[str]
) -> list[str]:
    """What does not fit, in words: wrong shapes and types, then missing and unexpected keys.

    Args:
        known: also the tensors that a state_dict leaves out.
    """
    pairs = {
        key: (state[key], own)
        for key, own in wanted.items()
        if isinstance(own, Tensor) and isinstance(state.get(key), Tensor) and not is_extra(key)
    }
    wrong = [
        f"{key} is {tuple(given.shape)} in the file and {tuple(own.shape)} in the model"
        for key, (given, own) in pairs.items()
        if given.shape != own.shape
    ] + [
        f"{key} is {_type(given)} in the file and {_type(own)} in the model"
        for key, (given, own) in pairs.items()
        if own.is_floating_point() and not given.is_floating_point()
    ]
    missing = [
        f"{key} is missing"
        for key in wanted
        if key not in state and not key.endswith(".num_batches_tracked")
    ]
    return wrong + missing + [f"{key} is not in the model" for key in state if key not in known]
