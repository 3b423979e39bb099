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

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from spaces.groups import ChannelGroup, in_step, sublattice
from spaces.inputs import Inputs
from spaces.probe import Probe, full_precision
from spaces.verdict import Verdict
from spaces.walk import Trace

MANY = 32
"""Of more widths than this not every one is tried alone."""

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


def _end(group: ChannelGroup, rng: np.random.Generator) -> int:
    return int(rng.choice([group.choices[0], *group.choices[-2:]]))


def _least(group: ChannelGroup, _: np.random.Generator) -> int:
    return group.choices[0]


def _scattered(channels: int, width: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.permutation(channels)[:width])


def _shifted(channels: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Without the first, nor the last if that can be: so nothing that is kept stays in its place,
    counted from either end, and every literal slice is seen."""
    inner = rng.permutation(np.arange(1, channels - 1))
    return np.sort([*inner, channels - 1, 0][:width])


DRAWS = (
    Draw("less", _less, _shifted, trained=True, compared=True),
    Draw("any", _any, _scattered),
    Draw("ends", _end, _scattered),
    Draw("least", _least, _scattered, trained=True),
)


class SelfCheck:
    """Cuts groups on a probe of the model and says which survive, and at which widths.

    >>> proven, broken = SelfCheck(model, trace, inputs, groups).run()       # doctest: +SKIP

    The same for the same network; the global random state is left alone.
    """

    def __init__(self, model: nn.Module, trace: Trace, inputs: Inputs, groups: Groups) -> None:
        generator = torch.Generator().manual_seed(0)
        self._groups = groups
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
            draw = next((d for d in DRAWS if self._problem(good, d) is not None), None)
            if draw is None:
                break
            blamed = self._blame(good, draw)
            good = self._mended(good, blamed, broken)
        return good, broken

    def _mended(self, good: Groups, blamed: dict[str, str], broken: dict[str, str]) -> Groups:
        """Without those that are to blame, but for what can be saved of them."""
        bad = [group for group in good if group.name in blamed]
        narrower = {g.name: narrow for g in bad if (narrow := self._narrowed(g)) is not None}
        bundles = self._bundled([group for group in bad if group.name not in narrower])
        saved = {name: bundle for bundle in bundles for name in bundle.bundled}
        for group in bad:
            if group.name not in narrower and group.name not in saved:
                broken |= dict.fromkeys(group.bundled or (group.name,), blamed[group.name])
        found = []
        for group in good:
            if group.name not in blamed:
                found.append(group)
            elif group.name in narrower:
                found.append(narrower[group.name])
            elif group.name in saved and saved[group.name].name == group.name:
                found.append(saved[group.name])
        return tuple(found)

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
        alone = Draw("alone", lambda *_: width, _shifted, trained=True, compared=True)
        return self._problem((group,), alone) is not None

    def _bundled(self, bad: list[ChannelGroup]) -> list[ChannelGroup]:
        """Of groups that no cut survives those that survive when cut in step."""
        found: list[ChannelGroup] = []
        for several in _candidates(bad):
            free = [g for g in several if not any(g.name in b.bundled for b in found)]
            bundle = in_step(free) if len(free) == len(several) else None
            if bundle and all(self._problem((bundle,), draw) is None for draw in DRAWS):
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
