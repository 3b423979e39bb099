"""Space: everything that can be pruned in one network, behind one face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from spaces.activations import Activation, find_activations
from spaces.copies import untouched
from spaces.cost import compile_flops, compile_params, of_groups
from spaces.counters import torch_flops
from spaces.draws import ALL_LEAST
from spaces.errors import (
    ModelError,
    NothingToPruneError,
    UntraceableError,
    UserError,
    in_one_line,
)
from spaces.fingerprint import fingerprint
from spaces.groups import ChannelGroup, Frozen, find_groups
from spaces.inputs import Inputs, arguments, call, one_item
from spaces.models import check_model
from spaces.parts import Parts, find_parts, largest_parts
from spaces.selfcheck import SelfCheck
from spaces.slicing import Selection, cut, origin, remember
from spaces.trace import trace
from spaces.walk import Cost, Trace, Uncounted
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
        inside: the submodules that the space is of, where it is not of the whole network. Flops are
            theirs for the whole example then; parameters are always those of the whole network.
        outside_flops: of the rest of the network for the example, as torch counts them; None where
            it cannot, or there is no rest.
    """

    groups: tuple[ChannelGroup, ...]
    frozen: tuple[Frozen, ...]
    activations: tuple[Activation, ...] = field(default=(), repr=False)
    example: Inputs = field(default=(), repr=False)
    batched: bool = field(default=True, repr=False)
    costs: tuple[Cost, ...] = field(default=(), repr=False)
    uncounted: tuple[Uncounted, ...] = ()
    fingerprint: str = field(default="", repr=False)
    inside: tuple[str, ...] = ()
    outside_flops: int | None = field(default=None, repr=False)


def discover(
    model: nn.Module,
    example_inputs: Any,
    round_to: int | None = None,
    inside: str | Sequence[str] = (),
) -> Space:
    """Find what can be pruned in ``model`` and prove that it survives surgery.

    >>> space = discover(model, {"ids": ids, "mask": mask})  # doctest: +SKIP
    >>> space = discover(detector, ([image],), inside="backbone")  # doctest: +SKIP

    Args:
        model: any module; it is left as it was. Where ``torch.export`` cannot trace it, groups are
            looked for inside its largest submodules that can be traced.
        example_inputs: what the model is called with: a tensor, a tuple of positional inputs, or a
            dict of inputs by name. Where they are a batch of independent items, flops are counted
            for the first item.
        round_to: widths are multiples of this; by default 8 for wide groups, finer for narrow ones.
        inside: look inside these submodules only: what enters or leaves them stays. Each must be
            called once in a forward pass.

    Raises:
        ModelError: the model cannot be copied or run, or neither it nor a part of it be traced.
        NothingToPruneError: every channel is frozen.
        UserError: ``round_to`` is below 1, or the inputs are none of these.
    """
    if round_to is not None and (not isinstance(round_to, int) or round_to < 1):
        raise UserError(f"round_to must be an integer >= 1, but got {round_to}")
    check_model(model)
    given = arguments(model, example_inputs)
    with untouched(model), torch.random.fork_rng(devices=[]):
        inputs, batched = one_item(model, given)
        parts, traced = _traced(model, inputs, (inside,) if isinstance(inside, str) else inside)
        found, frozen = find_groups(traced, round_to)
        tried, called = (parts.model, parts.inputs) if parts else (model, inputs)
        groups, broken = SelfCheck(tried, traced, called, found).run() if found else ((), {})
    frozen += tuple(Frozen(g.name, g.channels, broken[g.name]) for g in found if g.name in broken)
    if not groups:
        raise NothingToPruneError(_nothing(frozen))
    costs = of_groups(traced, groups)
    space = Space(
        groups,
        compile_flops(costs, groups, traced.tensors),
        compile_params(groups, model),
        frozen,
        () if parts else find_activations(traced, groups),  # the rest of the network has others
        inputs,
        batched,
        tuple(costs),
        tuple(traced.uncounted),
        fingerprint(traced.program),
    )
    return _of_parts(space, model, parts.names) if parts else space


def _traced(model: nn.Module, inputs: Inputs, inside: Sequence[str]) -> tuple[Parts | None, Trace]:
    """The trace of the network, or of parts of it: those inside which to look, or the largest."""
    if inside:
        return _traced_parts(find_parts(model, inside, inputs))
    try:
        return None, trace(model, inputs)
    except UntraceableError:
        if (parts := largest_parts(model, inputs)) is None:
            raise
        return _traced_parts(parts)


def _traced_parts(parts: Parts) -> tuple[Parts, Trace]:
    return parts, trace(parts.model, parts.inputs, parts.names, parts.outside)


def _of_parts(space: Space, model: nn.Module, names: tuple[str, ...]) -> Space:
    """The space with what it knows of the rest of the network, which must run when parts are cut.

    Raises:
        ModelError: it does not.
    """
    least = {group.name: ALL_LEAST.selected(group) for group in space.groups}
    must = f"the network must run when {', '.join(names)} is cut, but it fails with"
    hint = "let it ask for no sizes, or give inside= other submodules"
    with in_one_line(ModelError, must, hint), torch.no_grad(), torch.random.fork_rng(devices=[]):
        call(cut(model, space.groups, least).eval(), space.example)
    count = torch_flops(model, space.example)
    rest = None if count.failure else count.total - count.within(names).total
    return replace(space, inside=names, outside_flops=rest)


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
