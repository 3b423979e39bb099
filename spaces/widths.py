"""WidthSpace: the widths that can be chosen and their exact cost, without any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar, overload

import numpy as np

from spaces.budget import COSTS, FLOPS, LATENCY, PARAMS, Budget, together
from spaces.cost import Polynomial
from spaces.errors import BudgetError, UserError
from spaces.joint import solve_within
from spaces.limits import Limit, WidthCost, met
from spaces.policy import Policy
from spaces.projection import Lattice, project
from spaces.solve import Solution

Widths = TypeVar("Widths", Policy, np.ndarray)


class HasWidths(Protocol):
    """Channels that share one width: a `spaces.ChannelGroup`, or a `WidthGroup`."""

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def choices(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class WidthGroup:
    """What of a `spaces.ChannelGroup` needs no network: its name and the widths it may take."""

    name: str
    choices: tuple[int, ...]

    @property
    def channels(self) -> int:
        """How many it has in the unpruned network."""
        return self.choices[-1]


@dataclass(frozen=True)
class WidthSpace:
    """The policies of a network with their exact cost; `spaces.Space` is one with its network.

    >>> flops = Polynomial(10.0, np.array([1.0]), np.zeros((1, 1)))
    >>> WidthSpace((WidthGroup("conv1", (2, 4, 6, 8)),), flops, flops).uniform(0.8)
    Policy({'conv1': 4})

    Attributes:
        groups: what can be pruned; G of them.
        flops_of, params_of: what widths ``(G,)`` cost.
        others: what else is known of their cost, by its name in `spaces.budget.COSTS`.
        limits: what every policy keeps besides its budget.
    """

    groups: Sequence[HasWidths]
    flops_of: Polynomial = field(repr=False)
    params_of: Polynomial = field(repr=False)
    others: Mapping[str, WidthCost] = field(default_factory=dict, repr=False, kw_only=True)
    limits: tuple[Budget, ...] = field(default=(), kw_only=True)

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

    def cost_of(self, name: str) -> WidthCost:
        """The cost of that name in `spaces.budget.COSTS`.

        Raises:
            BudgetError: it is not known of this network.
        """
        known: dict[str, WidthCost] = {FLOPS: self.flops_of, PARAMS: self.params_of, **self.others}
        if name not in known:
            raise BudgetError(
                f"what is limited must be known of this network, {' or '.join(known)}, but got "
                f"{name}"
            )
        return known[name]

    def cost(self, name: str, widths: Policy | np.ndarray) -> Any:
        """As `flops`, of the cost of that name."""
        return _evaluate(self.cost_of(name), self._array(widths))

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
        """The most that the budget allows here, of the cost that it limits.

        Raises:
            BudgetError: not a budget, or below what the smallest policy costs.
        """
        parsed = Budget.parse(budget)
        full, floor = (
            self.cost(parsed.cost, widths) for widths in (self.lattice.top, self.lattice.low)
        )
        limit, kind = parsed.limit(full), COSTS[parsed.cost]
        what = "budget" if parsed.cost == FLOPS else f"limit of {parsed.cost}"
        if limit > full:
            raise BudgetError(
                f"{what} must be at most the {kind.count(full)} of the unpruned network, "
                f"but got {parsed}"
            )
        if limit < floor:
            raise BudgetError(
                f"{what} must be reachable, between {floor / full:.3f} and 1 of "
                f"{kind.count(full)} ({kind.count(floor)} at least), but got {parsed}; the floor "
                f"is set by {', '.join(self.floor_setters(cost=parsed.cost))}; a smaller "
                "--round-to lowers it"
            )
        return limit

    def limited(self, limits: Sequence[Budget | float | str]) -> Self:
        """The same space, whose policies keep these limits too, besides any budget.

        >>> space = space.limited(["params=0.5"])                        # doctest: +SKIP

        Raises:
            BudgetError: two limits of one cost, or one that cannot be reached.
        """
        parsed = together(limits)
        for limit in parsed:
            self.limit(limit)
        return replace(self, limits=parsed)

    def within(self, budget: Budget | float | str) -> list[Limit]:
        """What a policy of that budget must keep: the budget, and the limits of the space.

        Raises:
            BudgetError: the budget cannot be reached, or a limit is of the same cost.
        """
        every = together([budget, *self.limits])
        return [Limit(self.cost_of(each.cost), self.limit(each)) for each in every]

    def meets(self, widths: Policy | np.ndarray, budget: Budget | float | str) -> Any:
        """Whether a policy or ``(G,)`` widths keep the budget and all limits; ``(N,)`` of many."""
        kept = met(self.within(budget), self._array(widths))
        return kept if kept.ndim else bool(kept)

    def floor_setters(self, count: int = 3, cost: str = FLOPS) -> list[str]:
        """What spends most of the floor: the groups that cost most at their least width."""
        low, spent = self.lattice.low, self.cost_of(cost)
        floor = int(spent(low))
        shares = [
            (floor - int(spent(low * (np.arange(len(low)) != g))), group.name)
            for g, group in enumerate(self.groups)
        ]
        rest = "what no width changes" if cost == LATENCY else "the frozen layers"
        shares.append((int(spent(0 * low)), rest))
        top = sorted(shares, reverse=True)[:count]
        return [f"{name} ({share / max(floor, 1):.0%})" for share, name in top]

    def project(self, widths: Widths, budget: Budget | float | str) -> Widths:
        """The nearest widths on the lattice that meet the budget, keep all limits, and that no
        single step can grow.

        Raises:
            BudgetError: the budget cannot be reached.
        """
        result = project(self._array(widths), self.within(budget), self.lattice)
        return self.policy(result) if isinstance(widths, Policy) else result

    def uniform(self, budget: Budget | float | str) -> Policy:
        """The same share of every group, as much as the budget allows."""
        return self.project(self.full, budget)

    def solve(self, terms: Mapping[str, np.ndarray], budget: Budget | float | str) -> Solution:
        """The widths of the least sum of one term a group within the budget and all limits; see
        `spaces.solve` and `spaces.joint`.

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
        return solve_within(
            [np.asarray(terms[group.name], dtype=float) for group in self.groups],
            [np.array(group.choices, dtype=float) for group in self.groups],
            self.within(budget),
            self.lattice,
        )

    def solve_and_fill(
        self, terms: Mapping[str, np.ndarray], budget: Budget | float | str
    ) -> Solution:
        """As `solve`, but flops that are left over are spent: no single step up fits any more.

        The total is that of the filled widths: not above the solved ones' where no term rises with
        the width.
        """
        solution = self.solve(terms, budget)
        widths = self.project(solution.widths, budget)
        total = self.total(terms, widths)
        return Solution(widths, total, min(solution.bound, total))

    def total(self, terms: Mapping[str, np.ndarray], widths: Policy | np.ndarray) -> float:
        """The sum of the terms of widths on the lattice."""
        pairs = zip(self.groups, self._array(widths).tolist(), strict=True)
        return float(sum(terms[g.name][g.choices.index(width)] for g, width in pairs))

    def _array(self, widths: Policy | np.ndarray) -> np.ndarray:
        return self.widths(widths) if isinstance(widths, Policy) else np.asarray(widths)


def _evaluate(cost: WidthCost, widths: np.ndarray) -> Any:
    value = cost(widths)
    return value if value.ndim else int(value)
