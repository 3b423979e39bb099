"""The weights of layers, and networks that use transformed weights in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from spaces import ModelError, copied

KINDS: Mapping[Any, tuple[str, ...]] = {
    _ConvNd: ("weight",),
    nn.Linear: ("weight",),
    nn.MultiheadAttention: ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
}
"""Layer type → its parameters that are matrices. Biases, normalisation, embeddings, recurrent
layers and weights that are themselves computed (weight normalisation) are left out."""


class WeightTransform(nn.Module):
    """A parametrization that computes a layer's weight from its parameter, of the same shape."""


def layer_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of convolutions, linear layers and attention, in network order, shared ones once.

    >>> [tuple(weight.shape) for weight in layer_weights(nn.Linear(3, 2))]
    [(2, 3)]
    """
    weights = (
        module._parameters.get(name)
        for module in model.modules()
        for kind, names in KINDS.items()
        if isinstance(module, kind)
        for name in names
    )
    return list({id(weight): weight for weight in weights if weight is not None}.values())


def reweighted(
    model: nn.Module, transforms: Callable[[Sequence[Tensor]], Sequence[WeightTransform]]
) -> nn.Module:
    """A copy in which each weight is parametrized by a transform; ``model`` is unchanged.

    The copy's parameters keep their values and can be trained: they are named
    ``conv1.parametrizations.weight.original``, while ``conv1.weight`` is the transform's output.

    Args:
        transforms: gives one transform for each of ``layer_weights``.

    Raises:
        ModelError: there is no weight.
    """
    result = copied(model)
    weights = layer_weights(result)
    if not weights:
        raise ModelError(
            "a model must have weights of convolutions or linear layers to compress, but has none; "
            "give another model"
        )
    of_each = transforms([weight.detach() for weight in weights])
    by_id = dict(zip(map(id, weights), of_each, strict=True))
    uses = [
        (module, name, by_id[id(parameter)])
        for module in result.modules()
        for name, parameter in module._parameters.items()
        if id(parameter) in by_id  # an embedding may share a weight with a layer
    ]
    for module, name, transform in uses:
        parametrize.register_parametrization(module, name, transform)
    return result


def without_parametrization(model: nn.Module) -> nn.Module:
    """A copy whose plain parameters are the transformed weights that ``model`` computes with.

    Its ``state_dict`` has the names of the network that was compressed.
    """
    result = copied(model)
    uses = [(module, name) for module in result.modules() for name in _transformed(module)]
    with torch.no_grad():
        # All values first: a shared weight would be transformed twice.
        values = [getattr(module, name).clone() for module, name in uses]
        for module, name in uses:
            _unshare_class(module)
            parametrize.remove_parametrizations(module, name, leave_parametrized=False)
        for (module, name), value in zip(uses, values, strict=True):
            getattr(module, name).copy_(value)
    return result


def _transformed(module: nn.Module) -> list[str]:
    """The names of a module's parameters that have a `WeightTransform`."""
    lists: Any = module.parametrizations if parametrize.is_parametrized(module) else {}
    return [name for name, steps in lists.items() if isinstance(steps[0], WeightTransform)]


def _unshare_class(module: nn.Module) -> None:
    """Deep copies share the class that torch made for a module, and removal changes that class."""
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
