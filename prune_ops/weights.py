"""The weights of layers, and how a network is made to use others in their place."""

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
"""Layer to its parameters that are matrices. Biases, normalisation, embeddings, recurrent layers
and weights that are themselves computed (weight normalisation) are none of them."""


class Through(nn.Module):
    """What a weight goes through whenever its layer uses it; of the same shape."""


def layer_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of convolutions, linear layers and attention, in the order of the network.

    >>> [tuple(weight.shape) for weight in layer_weights(nn.Linear(3, 2))]
    [(2, 3)]

    One that several layers share is there once.
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
    model: nn.Module, made: Callable[[Sequence[Tensor]], Sequence[Through]]
) -> nn.Module:
    """A copy in which each weight goes through a module of its own; ``model`` is untouched.

    The parameters of the copy stay what they were and can be trained: they are named
    ``conv1.parametrizations.weight.original``, while ``conv1.weight`` is what comes out.

    Args:
        made: one module for each of ``layer_weights``.

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
    modules = made([weight.detach() for weight in weights])
    through = dict(zip(map(id, weights), modules, strict=True))
    uses = [
        (module, name, through[id(parameter)])
        for module in result.modules()
        for name, parameter in module._parameters.items()
        if id(parameter) in through  # an embedding may share a weight with a layer
    ]
    for module, name, passed in uses:
        parametrize.register_parametrization(module, name, passed)
    return result


def baked(model: nn.Module) -> nn.Module:
    """A copy that holds, as plain parameters, the weights that ``model`` uses.

    >>> plain = baked(fine_tuned)                                                # doctest: +SKIP
    >>> plain.load_state_dict(baked(another).state_dict())                       # doctest: +SKIP

    Its ``state_dict`` has the names of the network that was compressed.
    """
    result = copied(model)
    uses = [(module, name) for module in result.modules() for name in _passed(module)]
    with torch.no_grad():
        # All values first: one that is shared would go through twice.
        values = [getattr(module, name).clone() for module, name in uses]
        for module, name in uses:
            _class_of_its_own(module)
            parametrize.remove_parametrizations(module, name, leave_parametrized=False)
        for (module, name), value in zip(uses, values, strict=True):
            getattr(module, name).copy_(value)
    return result


def _passed(module: nn.Module) -> list[str]:
    """The names of a module's weights that go through something of ours."""
    if not parametrize.is_parametrized(module):
        return []
    lists: Any = module.parametrizations
    return [name for name, through in lists.items() if isinstance(through[0], Through)]


def _class_of_its_own(module: nn.Module) -> None:
    """Deep copies share the class that torch made for a module, and removing changes the class."""
    made = type(module)
    module.__class__ = type(made.__name__, made.__bases__, dict(vars(made)))
