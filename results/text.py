"""How numbers are written for people, the same in the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from spaces.budget import CostKind

NONE = "\N{EN DASH}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
MINUS = "\N{MINUS SIGN}"

_UNITS = (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def count(value: float | None) -> str:
    """Flops or parameters with three significant digits: ``125 M``, ``4.09 G``, ``640``."""
    if value is None:
        return NONE
    for unit, size in _UNITS:
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"
    return f"{value:.0f}"


def amount(value: float | None, kind: CostKind) -> str:
    """What a budget allows or a network takes: FLOPs and parameters as `count`, ``8.1 MB``,
    ``12.3 ms``."""
    if value is None or kind.unit in ("flops", "parameters"):
        return count(value)
    return f"{value / 1e6:.3g} ms" if kind.unit == "ns" else f"{count(value)}B"


def number(fraction: float | None, digits: int = 2) -> str:
    """A fraction in percent, ``0.93415`` as ``93.42``; its sign stands in the column's head."""
    if fraction is None or math.isnan(fraction):
        return NONE
    return f"{100 * fraction:.{digits}f}"


def signed(fraction: float, digits: int = 2) -> str:
    """A difference of accuracies in points: ``-0.0042`` as a true minus sign and ``0.42``."""
    points = round(100 * fraction, digits)
    return f"{MINUS if points < 0 else '+'}{abs(points):.{digits}f}"


def factor(value: float) -> str:
    """``0.14``, ``7.1``, ``140``: two significant digits, a third where two would say 1."""
    two = float(f"{value:.2g}")
    return f"{value:.3g}" if two == 1 else f"{two:g}"


def figure(value: float) -> str:
    """Three significant digits: ``0.0123``, ``4.50``, ``1.2e-05``, ``1,230``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def within(gap: float) -> str:
    """How near to the least something is proven to be: ``the least``, ``within 4.4 %`` (rounded
    up), or ``nothing``."""
    if gap == math.inf:
        return "nothing"
    return f"within {math.ceil(1000 * gap) / 10:g} %" if gap else "the least"


def multiple(value: float) -> str:
    """A factor with two digits; a dash where it is not known."""
    return NONE if math.isnan(value) else f"{value:.2f}"


def sentence(note: str) -> str:
    """A clause as a sentence: with a capital letter and one full stop."""
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


def duration(seconds: float | None) -> str:
    """``3725`` as ``1 h 2 min``, ``95`` as ``1 min 35 s``, ``4.2`` as ``4.2 s``."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(n: float, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def pages(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """The names in as few parts of about one size as hold at most ``most``."""
    parts = -(-len(names) // most)
    size = -(-len(names) // max(parts, 1))
    return [names[k * size : (k + 1) * size] for k in range(parts)]


def listed(parts: Sequence[str]) -> str:
    """The parts as in a sentence: ``one, two and three``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def some(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are: ``conv1, conv2 and 5 more``."""
    first = ", ".join(names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"


def not_counted(uncounted: Iterable[Mapping[str, str]]) -> str:
    """What multiplies weights and is in no count, each with ``module`` and ``operation``; one line.

    Empty where there is nothing.
    """
    modules: dict[str, list[str]] = {}
    for product in uncounted:
        where = product["module"] or "the network itself"
        modules.setdefault(product["operation"], []).append(where)
    named = [f"{operation} in {some(names, 3)}" for operation, names in modules.items()]
    return f"not counted: {', '.join(named)} (so budgets are of the rest)" if named else ""


def rate(lr: float) -> str:
    """A learning rate; a dash where the user's own loop has it."""
    return f"{lr:g}" if lr else NONE


def distillation(weight: float, temperature: float) -> str:
    """``weight 0.9, temperature 4``."""
    return f"weight {weight:g}, temperature {temperature:g}"


def correlation(value: float | None) -> str:
    """``-0.314`` as ``−0.31``, with a true minus sign."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:.2f}".replace("-", MINUS)


def between(value: float, low: float, high: float) -> str:
    """A correlation with its interval: ``0.61 [0.42, 0.75]``; without one just the value."""
    if math.isnan(low):
        return correlation(value)
    return f"{correlation(value)} [{correlation(low)}, {correlation(high)}]"
