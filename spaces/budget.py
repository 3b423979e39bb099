"""Budget: the most of one cost that a policy may keep, as a user writes it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spaces.errors import BudgetError, unknown

_COUNTS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True, slots=True)
class CostKind:
    """One thing that can be limited.

    Attributes:
        unit: of its whole numbers, for people.
        title: what it is called.
        scales: how amounts are written: suffix → so many of the unit.
        example: an absolute amount.
    """

    unit: str
    title: str
    scales: Mapping[str, float]
    example: str

    def count(self, amount: int) -> str:
        """An exact amount: ``1,234 flops``; times in ms."""
        return f"{amount / 1e6:,.3g} ms" if self.unit == "ns" else f"{amount:,} {self.unit}"

    def shown(self, amount: float) -> str:
        """``6e7`` flops as ``60M``."""
        rising = sorted(self.scales, key=self.scales.__getitem__)
        suffix = next((s for s in reversed(rising) if amount >= self.scales[s]), rising[0])
        return f"{amount / self.scales[suffix]:g}{suffix}"


FLOPS, PARAMS, MEMORY, LATENCY = "flops", "params", "memory", "latency"

COSTS = {
    FLOPS: CostKind("flops", "FLOPs", _COUNTS, "60M"),
    PARAMS: CostKind("parameters", "parameters", _COUNTS, "1.2M"),
    MEMORY: CostKind("bytes", "activation memory", _BYTES, "8MB"),
    LATENCY: CostKind("ns", "time", {"us": 1e3, "ms": 1e6, "s": 1e9}, "12ms"),
}
"""What can be limited: multiply-adds, parameters, the most bytes that activations of one item take
at any time, and the time of a forward pass."""

_HINT = "a fraction in (0, 1] or absolute {unit} such as {example}"
_FORM = re.compile(r"\s*(?:([a-z]+)=)?([+-]?[\d.]+(?:e[+-]?\d+)?)\s*([a-z]*)\s*", re.I)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most of one cost that a policy may keep.

    >>> Budget.parse("0.5").limit(1_000_001), Budget.parse("60M").limit(1_000_000_000)
    (500000, 60000000)
    >>> Budget.parse("12ms").cost, str(Budget.parse("params=0.50"))
    ('latency', 'params=0.5')

    Attributes:
        amount: the fraction of the unpruned network, or the absolute amount.
        absolute: whether ``amount`` is in the unit of the cost.
        cost: a name of `COSTS`.
    """

    amount: float
    absolute: bool = False
    cost: str = FLOPS

    @classmethod
    def parse(cls, value: Budget | float | str) -> Budget:
        """A budget from what a user writes: ``0.5``, ``60M``, ``12ms``, ``params=0.5``.

        Raises:
            BudgetError: not a number, not positive, a fraction above 1, or a unit of another cost.
            UserError: no such cost.
        """
        if isinstance(value, Budget):
            return value
        found = _FORM.fullmatch(str(value))
        named, digits, suffix = found.groups() if found else (None, "nan", "")
        if named and named.lower() not in COSTS:
            raise unknown("cost", named, COSTS)
        cost = named.lower() if named else _cost_of(suffix)
        try:
            number = float(digits)
        except ValueError:
            number = math.nan
        scales = {name.lower(): size for name, size in COSTS[cost].scales.items()}
        scale = scales.get(suffix.lower()) if suffix else 1.0
        if scale is None or not 0 < number < math.inf or (not suffix and number > 1):
            kind, what = COSTS[cost], "budget" if cost == FLOPS else f"limit of {cost}"
            hint = _HINT.format(unit=kind.unit, example=kind.example)
            raise BudgetError(f"{what} must be {hint}, but got {value!r}")
        return cls(number * scale, absolute=bool(suffix), cost=cost)

    def limit(self, full: int) -> int:
        """The most, given what the unpruned network costs."""
        return math.floor(self.amount if self.absolute else self.amount * full)

    def __str__(self) -> str:
        kind = COSTS[self.cost]
        amount = kind.shown(self.amount) if self.absolute else f"{self.amount:g}"
        bare = self.cost == FLOPS or (self.absolute and _cost_of(_suffix(amount)) == self.cost)
        return amount if bare else f"{self.cost}={amount}"


def _suffix(text: str) -> str:
    return text.lstrip("0123456789.e+-")


def _cost_of(suffix: str) -> str:
    """The cost whose amounts alone have this suffix; flops where that does not tell."""
    for cost, kind in COSTS.items():
        if suffix.lower() in map(str.lower, kind.scales):
            return cost
    return FLOPS


def together(values: Sequence[Budget | float | str]) -> tuple[Budget, ...]:
    """Limits that are to be kept together.

    Raises:
        BudgetError: two of one cost.
    """
    limits = tuple(map(Budget.parse, values))
    for place, limit in enumerate(limits):
        for other in limits[:place]:
            if other.cost == limit.cost:
                raise BudgetError(
                    f"a budget and limits must each be of another cost, but {limit.cost} is "
                    f"limited twice, by {other} and {limit}; leave one out"
                )
    return limits
