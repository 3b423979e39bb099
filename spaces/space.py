"""Space: everything that can be pruned in one network, behind one face."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from spaces.activations import Activation, find_activations
from spaces.copies import untouched
from spaces.cost import compile_flops, compile_params
from spaces.errors import NothingToPruneError, UserError
from spaces.fingerprint import fingerprint
from spaces.groups import ChannelGroup, Frozen, find_groups
from spaces.inputs import Inputs, arguments, one_item
from spaces.models import check_model
from spaces.selfcheck import SelfCheck
from spaces.slicing import Selection, cut, origin, remember
from spaces.trace import trace
from spaces.walk import Cost, Uncounted
from spaces.widths import WidthSpace


@dataclass(frozen=True)
class Space(WidthSpace):
    """The policies of one network, with their exact cost. Holds no model; can be pickled.

    >>> space = discover(model, (torch.zeros(1, 3, 32, 32),))  # doctest: +SKIP
    >>> space.flops(space.uniform(0.5)) <= 0.5 * space.full_flops  # doctest: +SKIP
    True

    Attributes:
        groups: what can be pruned; G of them.
        frozen: what must stay, with reasons.
        activations: every use of an activation function, in the order of a forward pass.
        example: what the network was called with: one item, where its inputs come in batches.
        batched: whether items of a batch lie along the first dim of its inputs.
        costs: of every operation that is counted, by the module that calls it.
        uncounted: operations that multiply weights and are in no count.
        fingerprint: a hash of what the network computes, whatever its weights are.
    """

    groups: tuple[ChannelGroup, ...]
    frozen: tuple[Frozen, ...]
    activations: tuple[Activation, ...] = field(default=(), repr=False)
    example: Inputs = field(default=(), repr=False)
    batched: bool = field(default=True, repr=False)
    costs: tuple[Cost, ...] = field(default=(), repr=False)
    uncounted: tuple[Uncounted, ...] = ()
    fingerprint: str = field(default="", repr=False)


def discover(model: nn.Module, example_inputs: Any, round_to: int | None = None) -> Space:
    """Find what can be pruned in ``model`` and prove that it survives surgery.

    >>> space = discover(model, {"ids": ids, "mask": mask})  # doctest: +SKIP

    Args:
        model: any module that ``torch.export`` can trace; it is left as it was.
        example_inputs: what the model is called with: a tensor, a tuple of positional inputs, or a
            dict of inputs by name. Where they are a batch of independent items, flops are counted
            for the first item.
        round_to: widths are multiples of this; by default 8 for wide groups, finer for narrow ones.

    Raises:
        ModelError: the model cannot be copied, run or traced.
        NothingToPruneError: every channel is frozen.
        UserError: ``round_to`` is below 1, or the inputs are none of these.
    """
    if round_to is not None and (not isinstance(round_to, int) or round_to < 1):
        raise UserError(f"round_to must be an integer >= 1, but got {round_to}")
    check_model(model)
    given = arguments(model, example_inputs)
    with untouched(model), torch.random.fork_rng(devices=[]):
        inputs, batched = one_item(model, given)
        traced = trace(model, inputs)
        found, frozen = find_groups(traced, round_to)
        groups, broken = SelfCheck(model, traced, inputs, found).run() if found else ((), {})
    frozen += tuple(Frozen(g.name, g.channels, broken[g.name]) for g in found if g.name in broken)
    if not groups:
        raise NothingToPruneError(_nothing(frozen))
    return Space(
        groups,
        compile_flops(traced.costs, groups, traced.tensors),
        compile_params(groups, model),
        frozen,
        find_activations(traced, groups),
        inputs,
        batched,
        tuple(traced.costs),
        tuple(traced.uncounted),
        fingerprint(traced.program),
    )


def _nothing(frozen: tuple[Frozen, ...]) -> str:
    reasons = "; ".join(f"{f.name}: {f.reason}" for f in frozen[:3]) or "it has no layers to prune"
    more = f"; and {len(frozen) - 3} more" if len(frozen) > 3 else ""
    return f"a model must have channels that can be removed, but all are frozen ({reasons}{more})"


def slice_model(model: nn.Module, space: Space, selection: Selection) -> nn.Module:
    """A new module that keeps only the selected channels; ``model`` is untouched.

    >>> small = slice_model(model, space, {"conv1": np.arange(8)})  # doctest: +SKIP

    Args:
        selection: group name → ascending indices of the channels that stay; at least one each.

    Raises:
        UserError: a group that the space does not have, or an index out of range.
    """
    known = {g.name: g for g in space.groups}
    for name, keep in selection.items():
        if name not in known:
            raise UserError(f"selection must name groups of the space, but got {name!r}")
        keep = np.asarray(keep)
        if not len(keep) or keep.min() < 0 or keep.max() >= known[name].channels:
            raise UserError(
                f"selection of {name!r} must keep channels within 0..{known[name].channels - 1}, "
                f"at least one, but got {keep.tolist()[:8]}"
            )
    return knowing(cut(model, space.groups, selection), space, selection)


def knowing(small: nn.Module, space: Space, selection: Selection) -> nn.Module:
    """The same network, cut to a selection of the space, whose `origin` says so."""
    if (came := origin(small)) is not None:
        widths = {g.name: len(selection.get(g.name, range(g.channels))) for g in space.groups}
        remember(small, replace(came, example=space.example, widths=widths))
    return small
