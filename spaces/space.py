"""Space: everything that can be pruned in one network, behind one face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import nn

from spaces.activations import Activation, find_activations
from spaces.budget import Budget, Lattice, project
from spaces.copies import untouched
from spaces.cost import Polynomial, compile_flops, compile_params
from spaces.errors import BudgetError, NothingToPruneError, UserError
from spaces.fingerprint import fingerprint
from spaces.groups import ChannelGroup, Frozen, find_groups
from spaces.inputs import Inputs, arguments, one_item
from spaces.models import check_model
from spaces.policy import Policy
from spaces.problem import Problem
from spaces.selfcheck import SelfCheck
from spaces.slicing import Selection, cut, origin, remember
from spaces.solve import Solution, solve
from spaces.trace import trace
from spaces.walk import Cost, Uncounted

Widths = TypeVar("Widths", Policy, np.ndarray)


@dataclass(frozen=True)
class Space:
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
    flops_of: Polynomial = field(repr=False)
    params_of: Polynomial = field(repr=False)
    activations: tuple[Activation, ...] = field(default=(), repr=False)
    example: Inputs = field(default=(), repr=False)
    batched: bool = field(default=True, repr=False)
    costs: tuple[Cost, ...] = field(default=(), repr=False)
    uncounted: tuple[Uncounted, ...] = ()
    fingerprint: str = field(default="", repr=False)

    @overload
    def flops(self, widths: Policy) -> int: ...
    @overload
    def flops(self, widths: np.ndarray) -> Any: ...
    def flops(self, widths: Policy | np.ndarray) -> Any:
        """Multiply-adds at batch 1: an int for a policy or ``(G,)``, int64 ``(N,)`` for many."""
        return _evaluate(self.flops_of, self._array(widths))

    @overload
    def params(self, widths: Policy) -> int: ...
    @overload
    def params(self, widths: np.ndarray) -> Any: ...
    def params(self, widths: Policy | np.ndarray) -> Any:
        """Parameters: an int for a policy or ``(G,)``, int64 ``(N,)`` for ``(N, G)``."""
        return _evaluate(self.params_of, self._array(widths))

    @cached_property
    def lattice(self) -> Lattice:
        """The widths of every group."""
        return Lattice.of([g.choices for g in self.groups])

    @cached_property
    def full(self) -> Policy:
        """The policy that prunes nothing."""
        return self.policy(self.lattice.top)

    @cached_property
    def full_flops(self) -> int:
        """Flops of the unpruned network."""
        return self.flops(self.full)

    @cached_property
    def full_params(self) -> int:
        """Parameters of the unpruned network."""
        return self.params(self.full)

    @cached_property
    def floor_flops(self) -> int:
        """Flops of the smallest policy: no budget below can be met."""
        return self.flops(self.lattice.low)

    def widths(self, policy: Policy) -> np.ndarray:
        """The policy as int64 ``(G,)`` in the order of ``groups``.

        Raises:
            UserError: the policy names other groups, or more channels than there are.
        """
        names = [g.name for g in self.groups]
        strange = sorted(set(names) ^ set(policy))
        if strange:
            raise UserError(
                f"the policy must name the {len(names)} groups of this model, but "
                f"{', '.join(strange[:3])} differ; it was made for another model"
            )
        for group in self.groups:
            if policy[group.name] > group.channels:
                raise UserError(
                    f"width of group {group.name!r} must be at most {group.channels}, but got "
                    f"{policy[group.name]}"
                )
        return np.array([policy[name] for name in names], dtype=np.int64)

    def policy(self, widths: np.ndarray) -> Policy:
        """The policy of ``(G,)`` widths."""
        return Policy({g.name: int(w) for g, w in zip(self.groups, widths, strict=True)})

    def limit(self, budget: Budget | float | str) -> int:
        """The most flops that the budget allows here.

        Raises:
            BudgetError: not a budget, or below what the smallest policy costs.
        """
        parsed = Budget.parse(budget)
        limit = parsed.limit(self.full_flops)
        if limit > self.full_flops:
            raise BudgetError(
                f"budget must be at most the {self.full_flops:,} flops of the unpruned network, "
                f"but got {parsed}"
            )
        if limit < self.floor_flops:
            floor = self.floor_flops / self.full_flops
            raise BudgetError(
                f"budget must be reachable, between {floor:.3f} and 1 of {self.full_flops:,} flops "
                f"({self.floor_flops:,} at least), but got {parsed}; the floor is set by "
                f"{', '.join(self.floor_setters())}; a smaller --round-to lowers it"
            )
        return limit

    def floor_setters(self, count: int = 3) -> list[str]:
        """What spends most of the floor: the groups that cost most at their least width."""
        low = self.lattice.low
        shares = [
            (self.floor_flops - self.flops(low * (np.arange(len(low)) != g)), group.name)
            for g, group in enumerate(self.groups)
        ]
        shares.append((int(self.flops_of.constant), "the frozen layers"))
        top = sorted(shares, reverse=True)[:count]
        return [f"{name} ({share / max(self.floor_flops, 1):.0%})" for share, name in top]

    def project(self, widths: Widths, budget: Budget | float | str) -> Widths:
        """The nearest widths on the lattice that meet the budget and that no single step can grow.

        Raises:
            BudgetError: the budget cannot be reached.
        """
        limit = self.limit(budget)
        result = project(self._array(widths), limit, self.flops_of, self.lattice)
        return self.policy(result) if isinstance(widths, Policy) else result

    def uniform(self, budget: Budget | float | str) -> Policy:
        """The same share of every group, as much as the budget allows."""
        return self.project(self.full, budget)

    def solve(self, terms: Mapping[str, np.ndarray], budget: Budget | float | str) -> Solution:
        """The widths of the least sum of one term a group within the budget; see `spaces.solve`.

        >>> space.solve(damages, 0.5)                                    # doctest: +SKIP
        Solution(widths=array([10, ...]), total=0.31, bound=0.31)

        Args:
            terms: group name → ``(choices,)``: what each of the group's widths adds, damage say.

        Raises:
            BudgetError: the budget cannot be reached.
            UserError: not one finite term for each width of each group.
        """
        for group in self.groups:
            given = np.asarray(terms.get(group.name, ()), dtype=float)
            if given.shape != (len(group.choices),) or not np.isfinite(given).all():
                raise UserError(
                    f"terms must be a finite number for each of the {len(group.choices)} widths of "
                    f"group {group.name!r}, but got {given.tolist()[:8]}"
                )
        return solve(
            Problem(
                [np.asarray(terms[group.name], dtype=float) for group in self.groups],
                [np.array(group.choices, dtype=float) for group in self.groups],
                self.flops_of,
                self.limit(budget),
            )
        )

    def _array(self, widths: Policy | np.ndarray) -> np.ndarray:
        return self.widths(widths) if isinstance(widths, Policy) else np.asarray(widths)


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
        frozen,
        compile_flops(traced.costs, groups, traced.tensors),
        compile_params(groups, model),
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


def _evaluate(polynomial: Polynomial, widths: np.ndarray) -> Any:
    value = polynomial(widths)
    return value if value.ndim else int(value)
