"""Proof before use: groups are cut on a copy and the cut is held against a masked original.

Literals in the user's code (``view(-1, 1024)``, ``split(x, 64)``) cannot be seen in a graph, nor
can sizes that the code counts from a shape and uses elsewhere. So every group is cut to widths
drawn for it alone, together with all others; several times, and once to the least. What cannot be
cut so that it runs forward and backward and computes what the masked original computes, in eval and
in train mode, is offered less, or not at all:

- a group that survives some of its widths keeps those (``narrowing``);
- groups that survive together, but only at equal widths, become one (``in_step``);
- the rest is frozen, with what went wrong as the reason.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

from spaces.cost import layer_flops
from spaces.groups import ChannelGroup, in_step, sublattice
from spaces.inputs import Inputs
from spaces.probe import Probe, full_precision
from spaces.verdict import Verdict
from spaces.walk import Trace

MANY = 32
"""Of more widths than this not every one is tried alone."""

MORE = ((20e6, 8), (200e6, 4), (1e9, 1), (math.inf, 0))
"""Below so many flops → so many draws of random widths: what is quick is proven more often."""

UNSTEADY = "computes something else each time it is cut"

Groups = tuple[ChannelGroup, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """A way to draw a width for every group.

    Attributes:
        width: of a group and a generator.
        kept: which channels stay, of so many and to that width.
        trained: whether a training step of the cut is tried too.
        compared: whether its outputs are checked as well.
    """

    name: str
    width: Callable[[ChannelGroup, np.random.Generator], int]
    kept: Callable[[int, int, np.random.Generator], np.ndarray]
    trained: bool = False
    compared: bool = False


def _any(group: ChannelGroup, rng: np.random.Generator) -> int:
    return int(rng.choice(group.choices))


def _less(group: ChannelGroup, rng: np.random.Generator) -> int:
    return int(rng.choice(group.choices[:-1]))


def _least(group: ChannelGroup, _: np.random.Generator) -> int:
    return group.choices[0]


def _scattered(channels: int, width: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.permutation(channels)[:width])


def _shifted(channels: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Without the first, nor the last if that can be: so nothing that is kept stays in its place,
    counted from either end, and every literal slice is seen."""
    inner = rng.permutation(np.arange(1, channels - 1))
    return np.sort([*inner, channels - 1, 0][:width])


LESS = Draw("less", _less, _shifted, trained=True, compared=True)
LEAST = Draw("least", _least, _scattered, trained=True)
ALL_LEAST = replace(LEAST, trained=False)


def draws(groups: Groups, more: int, sizes: Collection[int] = ()) -> list[Draw]:
    """The draws that prove these groups.

    Beside random widths and the least ones, every group is whole while a neighbour of it is at its
    least, and the other way round: where two must keep step, no luck hides it. Neighbours have a
    parameter in common; colours, no two neighbours alike, say in their bits who is least when. And
    all that can have the size of something else in the network have it: code that asks whether two
    sizes are equal (may I add the shortcut?) gets another answer then.

    Args:
        more: draws of random widths, and of common sizes.
        sizes: that something in the network has; two groups may come to have one in common, too.
    """
    colours = coloured(groups)
    below = Counter(width for group in groups for width in group.choices[:-1])
    shared = sorted(width for width, count in below.items() if count > 1 and width not in sizes)
    common = [*sorted({*sizes} & below.keys())[:more], *shared[: math.ceil(more / 4)]]
    bits = range(max(colours.values(), default=0).bit_length())
    return [
        LESS,
        *(Draw(f"bit {bit}", partial(_by_bit, colours, bit), _scattered) for bit in bits),
        *(Draw(f"size {size}", partial(_of_size, size), _scattered) for size in common),
        *(Draw(f"any {number}", _any, _scattered) for number in range(more)),
        LEAST,
    ]


def _by_bit(colours: dict[str, int], bit: int, group: ChannelGroup, _: np.random.Generator) -> int:
    return group.choices[0 if colours[group.name] >> bit & 1 else -1]


def _of_size(size: int, group: ChannelGroup, _: np.random.Generator) -> int:
    return size if size in group.choices else group.choices[-1]


def coloured(groups: Groups) -> dict[str, int]:
    """Name → the least number that no neighbour before it has."""
    colours: dict[str, int] = {}
    at: dict[str, set[int]] = {}  # parameter → colours of the groups that have it
    for group in groups:
        own = [at.setdefault(m.parameter, set()) for m in group.members]
        taken = set[int]().union(*own)
        colours[group.name] = next(c for c in range(len(groups)) if c not in taken)
        for there in own:
            there.add(colours[group.name])
    return colours


class SelfCheck:
    """Cuts groups on a probe of the model and says which survive, and at which widths.

    >>> proven, broken = SelfCheck(model, trace, inputs, groups).run()       # doctest: +SKIP

    The same for the same network; the global random state is left alone.
    """

    def __init__(self, model: nn.Module, trace: Trace, inputs: Inputs, groups: Groups) -> None:
        generator = torch.Generator().manual_seed(0)
        self._groups = groups
        flops = sum(layer_flops(trace.costs, model).values())
        self._sizes = {len(line) for line in trace.axes.values()}
        self._more = next(more for limit, more in MORE if flops < limit)
        self._verdict = Verdict(Probe(model, inputs, groups, generator), trace)

    def run(self) -> tuple[Groups, dict[str, str]]:
        """The groups that surgery survives, and name → reason of those that it would break."""
        with full_precision():
            if reason := self._verdict.unfit():
                return (), {group.name: reason for group in self._groups}
            return self._run()

    def _run(self) -> tuple[Groups, dict[str, str]]:
        good, broken = self._groups, dict[str, str]()
        while good:
            several = draws(good, self._more, self._sizes)
            draw = next((d for d in several if self._problem(good, d) is not None), None)
            if draw is None:
                break
            blamed = self._blame(good, draw) or dict.fromkeys((g.name for g in good), UNSTEADY)
            good = self._mended(good, blamed, broken)
        return good, broken

    def _mended(self, good: Groups, blamed: dict[str, str], broken: dict[str, str]) -> Groups:
        """Without those that are to blame, but for what can be saved of them."""
        bad = [group for group in good if group.name in blamed]
        suspects = self._suspects(good, bad)
        saved = {name: bundle for bundle in self._bundled(suspects) for name in bundle.bundled}
        for group in bad:
            if group.name not in saved and (narrow := self._narrowed(group)) is not None:
                saved[group.name] = narrow
        for group in bad:
            if group.name not in saved:
                broken |= dict.fromkeys(group.bundled or (group.name,), blamed[group.name])
        kept = [saved.get(g.name, g) for g in good if g.name not in blamed or g.name in saved]
        return tuple({group.name: group for group in kept}.values())

    def _suspects(self, good: Groups, bad: list[ChannelGroup]) -> list[ChannelGroup]:
        """Those to blame, and neighbours that fail without them too: which a draw had left whole,
        say."""
        names = {g.name for g in bad}
        rest = tuple(g for g in good if g.name not in names)
        if not rest or self._problem(rest, ALL_LEAST) is None:
            return bad
        near = [g for g in rest if any(_share(g, other) for other in bad)]
        names |= {g.name for g in near if self._problem((g,), ALL_LEAST) is not None}
        return [g for g in good if g.name in names]

    def _blame(self, groups: Groups, draw: Draw) -> dict[str, str]:
        """Name → reason: those without which the others survive the draw."""
        bad: dict[str, str] = {}
        self._bisect(groups, draw, bad)
        good = tuple(g for g in groups if g.name not in bad)
        if bad and good and self._problem(good, draw) is not None:
            bad |= self._one_by_one(good, draw)
        return bad

    def _bisect(self, groups: Groups, draw: Draw, bad: dict[str, str]) -> None:
        problem = self._problem(groups, draw) if groups else None
        if problem is None:
            return
        if len(groups) == 1:
            bad[groups[0].name] = problem
            return
        middle = len(groups) // 2
        before = len(bad)
        self._bisect(groups[:middle], draw, bad)
        self._bisect(groups[middle:], draw, bad)
        if len(bad) == before:  # each half passes, only together they fail
            bad |= self._one_by_one(groups, draw)

    def _one_by_one(self, groups: Groups, draw: Draw) -> dict[str, str]:
        accepted: Groups = ()
        bad = {}
        for group in groups:
            problem = self._problem((*accepted, group), draw)
            if problem is None:
                accepted = (*accepted, group)
            else:
                bad[group.name] = problem
        return bad

    def _narrowed(self, group: ChannelGroup) -> ChannelGroup | None:
        """The group with the widths that it survives alone, if they are fewer."""
        below = group.choices[:-1]
        if all(self._fails(group, width) for width in {below[-1], below[len(below) // 2]}):
            return None
        if len(below) <= MANY:
            passing = [width for width in below if not self._fails(group, width)]
        else:
            passing = list(below[self._first_passing(group, below) :])
        choices = sublattice(group.choices, passing)
        return None if choices in (None, group.choices) else replace(group, choices=choices)

    def _first_passing(self, group: ChannelGroup, below: Sequence[int]) -> int:
        """By bisection, as if all wider ones passed too; the draws have the last word."""
        low, high = 0, len(below) - 1
        while low < high:
            middle = (low + high) // 2
            if self._fails(group, below[middle]):
                low = middle + 1
            else:
                high = middle
        return low

    def _fails(self, group: ChannelGroup, width: int) -> bool:
        alone = replace(LESS, width=lambda *_: width)
        return self._problem((group,), alone) is not None

    def _bundled(self, bad: list[ChannelGroup]) -> list[ChannelGroup]:
        """Of groups that do not survive alone those that survive when cut in step."""
        found: list[ChannelGroup] = []
        for several in _candidates(bad):
            free = [g for g in several if not any(g.name in b.bundled for b in found)]
            bundle = in_step(free) if len(free) == len(several) else None
            if bundle and all(self._problem((bundle,), d) is None for d in draws((bundle,), 2)):
                found.append(bundle)
        return found

    def _problem(self, groups: Groups, draw: Draw) -> str | None:
        selection = {group.name: _selected(group, draw) for group in groups}
        return self._verdict.of(groups, selection, draw.trained, draw.compared)


def _selected(group: ChannelGroup, draw: Draw) -> np.ndarray:
    """The same channels for the same group and draw, whoever else is cut."""
    rng = np.random.default_rng(zlib.crc32(f"{draw.name} {group.name}".encode()))
    return draw.kept(group.channels, draw.width(group, rng), rng)


def _candidates(groups: list[ChannelGroup]) -> Iterable[list[ChannelGroup]]:
    """Sets of groups that may have to keep step: all that hang together by a common parameter, then
    the pairs of those."""
    for together in _components(groups):
        if len(together) > 2:
            yield together
        for k, one in enumerate(together):
            yield from ([one, other] for other in together[k + 1 :] if _share(one, other))


def _components(groups: list[ChannelGroup]) -> list[list[ChannelGroup]]:
    found: list[list[ChannelGroup]] = []
    for group in groups:
        near = [c for c in found if any(_share(group, other) for other in c)]
        found = [c for c in found if c not in near] + [[*(g for c in near for g in c), group]]
    return found


def _share(one: ChannelGroup, other: ChannelGroup) -> bool:
    return not {m.parameter for m in one.members}.isdisjoint(m.parameter for m in other.members)
