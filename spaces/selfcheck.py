"""Proof before use: groups are cut on a copy and the cut is held against a masked original.

Literals in the user's code (``view(-1, 1024)``, ``split(x, 64)``) cannot be seen in a graph, nor
can sizes that the code counts from a shape and uses elsewhere. So every group is cut to widths
drawn for it alone, together with all others; several times, and once to the least. What cannot be
cut so that it runs forward and backward and computes what the masked original computes, in eval and
in train mode, is offered less, or not at all:

- a group that survives some of its widths keeps those;
- groups that survive together, but only at equal widths, become one (``in_step``);
- the rest is frozen, with what went wrong as the reason.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from spaces.cost import layer_flops
from spaces.draws import ALL_LEAST, LESS, Draw, draws
from spaces.groups import ChannelGroup, Groups, in_step, share_a_parameter, sublattice
from spaces.inputs import Inputs
from spaces.probe import Probe, full_precision
from spaces.verdict import Verdict
from spaces.walk import Trace

MANY = 32
"""Of more widths than this not every one is tried alone."""

MORE = ((20e6, 8), (200e6, 4), (1e9, 1), (math.inf, 0))
"""Below so many flops → so many draws of random widths: what is quick is proven more often."""

UNSTEADY = "computes something else each time it is cut"


class SelfCheck:
    """Cuts groups on a probe of the model and says which survive, and at which widths.

    >>> proven, broken = SelfCheck(model, trace, inputs, groups).run()       # doctest: +SKIP

    The same for the same network; the global random state is left alone.
    """

    def __init__(self, model: nn.Module, trace: Trace, inputs: Inputs, groups: Groups) -> None:
        self._groups = groups
        flops = sum(layer_flops(trace.costs, model).values())
        self._sizes = {len(line) for line in trace.axes.values()}
        self._more = next(more for limit, more in MORE if flops < limit)
        probe = Probe(model, inputs, groups)
        self._verdict = Verdict(probe, trace)
        if probe.single and self._verdict.unfit() is not None:  # types that the user's code fixes
            probe.as_it_came()
            self._verdict = Verdict(probe, trace)

    @full_precision()
    def run(self) -> tuple[Groups, dict[str, str]]:
        """The groups that surgery survives, and name → reason of those that it would break."""
        good, broken = self._groups, dict[str, str]()
        while good:
            several = draws(good, self._more, self._sizes)
            draw = next((d for d in several if self._problem(good, d) is not None), None)
            if draw is None:
                break
            if good is self._groups and (reason := self._verdict.unfit()):
                return (), {group.name: reason for group in good}
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
        near = [g for g in rest if any(share_a_parameter(g, other) for other in bad)]
        names |= {g.name for g in near if self._problem((g,), ALL_LEAST) is not None}
        return [g for g in good if g.name in names]

    def _blame(self, groups: Groups, draw: Draw) -> dict[str, str]:
        """Name → reason: those without which the others survive the draw."""
        bad = self._bisect(groups, draw)
        good = tuple(g for g in groups if g.name not in bad)
        if bad and good and self._problem(good, draw) is not None:
            bad |= self._one_by_one(good, draw)
        return bad

    def _bisect(self, groups: Groups, draw: Draw) -> dict[str, str]:
        problem = self._problem(groups, draw)
        if problem is None:
            return {}
        if len(groups) == 1:
            return {groups[0].name: problem}
        middle = len(groups) // 2
        bad = self._bisect(groups[:middle], draw) | self._bisect(groups[middle:], draw)
        return bad or self._one_by_one(groups, draw)  # each half passes, only together they fail

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
        else:  # as if all above the first that passes did too; the draws have the last word
            last = len(below) - 1
            first = bisect_left(below, True, hi=last, key=lambda w: not self._fails(group, w))
            passing = list(below[first:])
        choices = sublattice(group.choices, passing)
        return None if choices in (None, group.choices) else replace(group, choices=choices)

    def _fails(self, group: ChannelGroup, width: int) -> bool:
        return self._problem((group,), LESS.at(width)) is not None

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
        selection = {group.name: draw.selected(group) for group in groups}
        return self._verdict.of(groups, selection, draw.trained, draw.compared)


def _candidates(groups: list[ChannelGroup]) -> Iterable[list[ChannelGroup]]:
    """Sets of groups that may have to keep step: all that hang together by a common parameter, then
    the pairs of those."""
    for together in _components(groups):
        if len(together) > 2:
            yield together
        for k, one in enumerate(together):
            yield from (
                [one, other] for other in together[k + 1 :] if share_a_parameter(one, other)
            )


def _components(groups: list[ChannelGroup]) -> list[list[ChannelGroup]]:
    found: list[list[ChannelGroup]] = []
    for group in groups:
        near = [c for c in found if any(share_a_parameter(group, other) for other in c)]
        found = [c for c in found if c not in near] + [[*(g for c in near for g in c), group]]
    return found
