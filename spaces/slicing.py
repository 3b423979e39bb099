"""The mechanical cut: keep these channels of these parameters, and let the modules know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spaces.copies import copied
from spaces.errors import ModelError
from spaces.groups import ChannelGroup, Groups
from spaces.inputs import Inputs
from spaces.labels import Place

Selection = Mapping[str, np.ndarray]
"""Group name → ascending indices of the channels that stay; groups left out stay whole."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a pruned network knows of the unpruned one; see `origin`.

    Attributes:
        kept: place → ascending positions in the unpruned tensor that stayed, for every dim of
            every parameter and buffer that was cut.
        example: what the network is called with, one item, if that is known.
        widths: group → how many channels it has, if the network was cut by a policy of a space.
    """

    kept: Mapping[Place, np.ndarray]
    example: Inputs | None = None
    widths: Mapping[str, int] | None = None


def origin(model: nn.Module) -> Origin | None:
    """Where a network that ``cut`` made comes from; None for any other."""
    return getattr(model, _ORIGIN, None)


def remember(model: nn.Module, value: Origin) -> None:
    """Make this the ``origin`` of a network."""
    setattr(model, _ORIGIN, value)


_ORIGIN = "_pruned_from"


def kept_positions(
    groups: Groups, selection: Selection, tensors: Mapping[str, Tensor]
) -> dict[Place, np.ndarray]:
    """Place → ascending positions that stay, for every place that a selection cuts."""
    masks = kept_masks(groups, selection, tensors)
    return {place: np.flatnonzero(mask) for place, mask in masks.items()}


def kept_masks(
    groups: Groups, selection: Selection, tensors: Mapping[str, Tensor]
) -> dict[Place, np.ndarray]:
    """Place → whether each position stays, for every place that a selection cuts."""
    masks: dict[Place, np.ndarray] = {}
    for group in (g for g in groups if g.name in selection):
        removed = np.ones(group.channels, dtype=bool)
        removed[selection[group.name]] = False
        for member in group.members:
            size = tensors[member.parameter].shape[member.dim]
            mask = masks.setdefault((member.parameter, member.dim), np.ones(size, dtype=bool))
            mask[member.index[removed].ravel()] = False
    return masks


def cut(model: nn.Module, groups: Groups, selection: Selection) -> nn.Module:
    """A new, smaller module; ``model`` is untouched, and shares no tensor with the result.

    The result remembers what stayed: see `origin`.
    """
    tensors = named_tensors(model)
    check_places(tensors, groups)
    places = kept_positions(groups, selection, tensors)
    small = {name: tensors[name].detach() for name, _ in places}
    for (name, dim), keep in sorted(places.items(), key=_dim):  # rows first: they lie together
        source = small[name]
        small[name] = source.index_select(dim, torch.from_numpy(keep).to(source.device))
    # Through deepcopy's memo the copy takes the cut tensors where it would copy the large ones.
    made = {id(tensors[name]): _like(tensors[name], values) for name, values in small.items()}
    result = copied(model, made, apart=False)
    remember(result, _further(origin(model) or Origin({}), places))
    reading = {m.parameter for group in groups for m in group.members if m.kind == "in"}
    follow(result, made.values(), {id(made[id(tensors[n])]) for n in reading & small.keys()})
    return result


def _dim(item: tuple[Place, np.ndarray]) -> int:
    return item[0][1]


def check_places(tensors: Mapping[str, Tensor], groups: Groups) -> None:
    """Raises a ModelError where the model has not the channels of the groups."""
    for member in (m for group in groups for m in group.members):
        tensor = tensors.get(member.parameter)
        size = tensor.shape[member.dim] if tensor is not None and tensor.dim() > member.dim else 0
        if member.index.size and size <= member.index.max():
            raise ModelError(
                "the model must be the one that the space was discovered on, but its "
                f"{member.parameter!r} has no {int(member.index.max()) + 1} channels along dim "
                f"{member.dim}; discover the space of this model"
            )


def _further(before: Origin, places: Mapping[Place, np.ndarray]) -> Origin:
    """Of a cut after others: positions as they were in the first network."""
    kept = dict(before.kept)
    for place, keep in places.items():
        kept[place] = kept[place][keep] if place in kept else keep
    return replace(before, kept=kept)


def narrowed(groups: Groups, selection: Selection, tensors: Mapping[str, Tensor]) -> Groups:
    """The groups as they lie in the module that ``cut`` gives, so that it can be cut further.

    Widths keep their meaning: the choices are those that are still left.
    """
    places = kept_positions(groups, selection, tensors)
    return tuple(_narrowed(group, selection.get(group.name), places) for group in groups)


def _narrowed(
    group: ChannelGroup, keep: np.ndarray | None, places: Mapping[Place, np.ndarray]
) -> ChannelGroup:
    keep = np.arange(group.channels) if keep is None else keep
    members = []
    for member in group.members:
        index, place = member.index[keep], places.get((member.parameter, member.dim))
        moved = index if place is None else np.searchsorted(place, index)
        members.append(replace(member, index=moved))
    choices = tuple(choice for choice in group.choices if choice <= len(keep))
    return replace(group, channels=len(keep), members=tuple(members), choices=choices)


def _like(old: Tensor, values: Tensor) -> Tensor:
    return nn.Parameter(values, old.requires_grad) if isinstance(old, nn.Parameter) else values


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones under their first name only."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def follow(
    model: nn.Module, changed: Iterable[Tensor], reading: Collection[int] = frozenset()
) -> None:
    """Make the standard attributes of the modules that own changed tensors say what they are.

    Args:
        reading: ids of weights that are not depthwise, though each of their groups may have been
            left with one input by an earlier cut.
    """
    ids = {id(tensor) for tensor in changed}
    for module in model.modules():
        own = (*module._parameters.values(), *module._buffers.values())
        if not any(id(tensor) in ids for tensor in own):
            continue
        if isinstance(module, nn.modules.conv._ConvNd):
            _follow_conv(module, id(module.weight) not in reading)
        if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            _follow_recurrent(module)
        if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
            module.normalized_shape = tuple(module.weight.shape)
        for kind, attributes in _SIZES.items():
            if isinstance(module, kind):
                tensor = module.running_mean if module.weight is None else module.weight
                sizes = () if tensor is None else tensor.shape
                for attribute, size in zip(attributes, sizes, strict=False):
                    setattr(module, attribute, size)


_SIZES: dict[Any, tuple[str, ...]] = {
    nn.Linear: ("out_features", "in_features"),
    nn.Embedding: ("num_embeddings", "embedding_dim"),
    nn.modules.batchnorm._NormBase: ("num_features",),
    nn.GroupNorm: ("num_channels",),
    nn.PReLU: ("num_parameters",),
}
"""Kind of module → its attributes that are the sizes of its weight's dims."""


def _follow_recurrent(module: Any) -> None:
    end = "_l0" if isinstance(module, nn.RNNBase) else ""
    module.input_size = getattr(module, f"weight_ih{end}").shape[1]
    if not getattr(module, "proj_size", 0):  # what is projected stays whole
        module.hidden_size = getattr(module, f"weight_hh{end}").shape[1]


def _follow_conv(module: Any, may_be_depthwise: bool) -> None:
    rows, columns = module.weight.shape[:2]
    if may_be_depthwise and module.groups == module.in_channels > 1:
        each = module.out_channels // module.in_channels
        module.groups = rows if module.transposed else rows // each
    if module.transposed:
        module.in_channels, module.out_channels = rows, columns * module.groups
    else:
        module.in_channels, module.out_channels = columns * module.groups, rows
