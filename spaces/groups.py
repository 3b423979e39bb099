"""labels → ChannelGroups: which channels can be removed, only together with which others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from spaces.labels import Kind, Place
from spaces.walk import Trace


@dataclass(frozen=True, slots=True)
class Member:
    """Where the channels of one group live on one dim of one parameter or buffer.

    Attributes:
        parameter: fully qualified name, as in ``model.state_dict()``.
        dim: the dim of that tensor which shrinks.
        index: int64 array of shape ``(channels, r)``: channel ``c`` owns positions ``index[c]``.
        kind: ``out`` for the filters that produce the channel (depthwise ones included), ``in`` for
            the input slices that consume it, ``norm`` for a normalisation's parameters and
            statistics, ``scale`` for parameters used in plain arithmetic (layer scale, positions).
    """

    parameter: str
    dim: int
    index: np.ndarray
    kind: Kind


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that can be removed only together across layers and that share one width.

    Attributes:
        name: the module that produces the channels first in the network's order.
        channels: how many there are in the unpruned network.
        members: every place they occupy.
        choices: the widths that can be chosen, ascending and evenly spaced; the last is
            ``channels``.
        bundled: names of the groups that were put together here, since they must keep step.
    """

    name: str
    channels: int
    members: tuple[Member, ...]
    choices: tuple[int, ...]
    bundled: tuple[str, ...] = ()


Groups = tuple[ChannelGroup, ...]


@dataclass(frozen=True, slots=True)
class Frozen:
    """So many channels, outputs of the module ``name``, must stay; the reason is one clause."""

    name: str
    channels: int
    reason: str


def lattice(channels: int, round_to: int | None = None) -> tuple[int, ...]:
    """The widths that a group of ``channels`` may take, ascending: multiples of one step, and all.

    The step is ``round_to``, or else 8 from 64 channels on (what hardware likes), 4 from 32, 2 from
    16 and 1 below, so that narrow layers keep some eight widths to choose from.

    >>> lattice(16)
    (2, 4, 6, 8, 10, 12, 14, 16)
    """
    step = round_to or next((s for c, s in ((64, 8), (32, 4), (16, 2)) if channels >= c), 1)
    return (*range(step, channels, step), channels)


def sublattice(choices: tuple[int, ...], passing: Sequence[int]) -> tuple[int, ...] | None:
    """The most of the widths in ``passing`` that are evenly spaced up to the top, and the top.

    None if there is none.

    >>> sublattice((2, 4, 6, 8, 10, 12), [4, 8, 10])
    (4, 8, 12)
    """
    below = choices[:-1]
    found: list[tuple[int, ...]] = []
    for every in range(1, len(below) + 1):
        for start in range(every):
            line = below[start::every]
            good = next((k for k in range(len(line)) if set(line[k:]) <= set(passing)), len(line))
            found.append(line[good:])
    best = max(found, key=lambda line: (len(line), sum(line)), default=())
    return (*best, choices[-1]) if best else None


def share_a_parameter(one: ChannelGroup, other: ChannelGroup) -> bool:
    """Whether some layer has channels of both."""
    return not {m.parameter for m in one.members}.isdisjoint(m.parameter for m in other.members)


def in_step(groups: Sequence[ChannelGroup]) -> ChannelGroup | None:
    """One group of several that must lose the same share: channel c of each goes with c of all.

    Where one has k times the channels of another, k of its neighbours go with each of the other's.
    None if their numbers of channels are no multiples of the least.
    """
    narrowest = min(groups, key=lambda group: group.channels)
    count = narrowest.channels
    if any(group.channels % count for group in groups):
        return None
    members: dict[tuple[str, int, Kind], list[np.ndarray]] = {}
    for group in groups:
        for member in group.members:
            index = member.index.reshape(count, -1)
            members.setdefault((member.parameter, member.dim, member.kind), []).append(index)
    together = tuple(
        Member(parameter, dim, np.concatenate(index, 1), kind)
        for (parameter, dim, kind), index in members.items()
    )
    names = tuple(name for group in groups for name in group.bundled or (group.name,))
    return ChannelGroup(groups[0].name, count, together, narrowest.choices, names)


def find_groups(trace: Trace, round_to: int | None = None) -> tuple[Groups, tuple[Frozen, ...]]:
    """Channels with the same set of places form one group; what must stay comes with its reason."""
    alike = _alike(trace)
    frozen = trace.labels.frozen()
    held = {root: frozen[root] for kind in alike for root in kind.roots if root in frozen}
    groups = []
    for kind in alike:
        free = [root for root in kind.roots if root not in frozen]
        if not free:
            continue
        reason = _obstacle(trace, kind, len(free), round_to)
        if reason is None:
            groups.append(_group(trace, kind, free, round_to))
        else:
            held |= dict.fromkeys(free, reason)
    return _named(groups), _frozen(trace, alike, held)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Channels, by their representatives, that occupy the same places in the same numbers.

    Places are in the network's order, each with how many positions a channel has there and with the
    representative of every position.
    """

    roots: list[int]
    places: list[tuple[Place, int, np.ndarray]]


def _alike(trace: Trace) -> list[_Kind]:
    """All channels, sorted by the places they occupy; in the order in which they are met.

    Place by place, those that had one code and are there in one number get a new one in common.
    """
    lines = {place: trace.labels.find(line).numpy() for place, line in _lines(trace).items()}
    codes = np.zeros(1 + max((int(line.max()) for line in lines.values()), default=0), np.int64)
    for line in lines.values():
        roots, counts = np.unique(line, return_counts=True)
        _, code = np.unique(np.stack([codes[roots], counts]), axis=1, return_inverse=True)
        codes[roots] = codes.max() + 1 + code.reshape(-1)
    kinds: dict[int, _Kind] = {}
    for place, line in lines.items():
        roots, counts = np.unique(line, return_counts=True)
        for code in np.unique(codes[roots]).tolist():
            mine = codes[roots] == code
            kind = kinds.setdefault(code, _Kind(roots[mine].tolist(), []))
            kind.places.append((place, int(counts[mine][0]), line))
    return list(kinds.values())


def _lines(trace: Trace) -> dict[Place, Tensor]:
    """Every place with its labels; parameters used in arithmetic lie along the dim that varies."""
    lines = dict(trace.axes)
    for name, labels in trace.elements.items():
        dims = trace.labels.varying(labels)
        if len(dims) > 1:
            dims = [dim for dim in dims if _lie_along(trace, labels, dim)]
        if len(dims) == 1:
            lines[name, dims[0]] = trace.labels.along(labels, dims[0])
            trace.kinds.setdefault((name, dims[0]), "scale")
        elif trace.labels.varying(labels):
            where = trace.met[name]
            trace.labels.freeze(labels, f"{where} and varies over several dims at once")
    return lines


def _lie_along(trace: Trace, labels: Tensor, dim: int) -> bool:
    """Whether what is used of a parameter belongs to one channel at each index of the dim; the rest
    of it, positions that the example was too short for, say, goes with them."""
    roots = trace.labels.find(labels).movedim(dim, 0).flatten(1)
    used = ~trace.labels.alone(roots)
    low = roots.masked_fill(~used, roots.max() + 1).amin(1)
    high = roots.masked_fill(~used, -1).amax(1)
    return bool(used.any(1).all()) and bool(low.eq(high).all())


def _obstacle(trace: Trace, kind: _Kind, count: int, round_to: int | None) -> str | None:
    if not any(trace.kinds[place] == "out" for place, _, _ in kind.places):
        return "no layer produces them"
    if count == 1:
        size = kind.places[0][1]
        if size == 1:
            return "a single channel"
        why = trace.labels.why_together(kind.roots[0])
        return f"all {size} can only be removed together" + (f": {why}" if why else "")
    if len(lattice(count, round_to)) == 1:
        return f"{count} channels leave no choice on a lattice of {round_to}"
    return None


def _group(trace: Trace, kind: _Kind, roots: list[int], round_to: int | None) -> ChannelGroup:
    """Its channels are numbered as they lie where they are produced first."""
    produced, _, line = next(each for each in kind.places if trace.kinds[each[0]] == "out")
    ordered = np.array(list(dict.fromkeys(line[np.isin(line, roots)].tolist())))
    members = []
    for place, _, line in kind.places:
        index = positions(line, ordered)
        assert index is not None, place  # of one kind are places where all its roots lie alike
        members.append(Member(*place, index, trace.kinds[place]))
    choices = lattice(len(roots), round_to)
    return ChannelGroup(module_of(produced[0]), len(roots), tuple(members), choices)


def positions(line: np.ndarray, roots: np.ndarray) -> np.ndarray | None:
    """``(channels, r)``: where on the line each root lies; None unless all lie there alike."""
    rank = np.full(1 + max(line.max(), roots.max()), -1, dtype=np.int64)
    rank[roots] = np.arange(len(roots))
    ranks = rank[line]
    own = np.flatnonzero(ranks >= 0)
    counts = np.bincount(ranks[own], minlength=len(roots))
    if not counts[0] or (counts != counts[0]).any():
        return None
    return own[np.argsort(ranks[own], kind="stable")].reshape(len(roots), -1)


def _named(groups: list[ChannelGroup]) -> Groups:
    """Two groups of one producer get distinct names: ``conv``, ``conv/2``."""
    seen: dict[str, int] = {}
    named = []
    for group in groups:
        seen[group.name] = count = seen.get(group.name, 0) + 1
        named.append(group if count == 1 else replace(group, name=f"{group.name}/{count}"))
    return tuple(named)


def _frozen(trace: Trace, alike: list[_Kind], held: dict[int, str]) -> tuple[Frozen, ...]:
    """Frozen channels by producer and reason; places that no layer produces are left out."""
    counts = dict(trace.held)
    for kind in alike:
        produced = next((each for each in kind.places if trace.kinds[each[0]] == "out"), None)
        if produced is None:
            continue
        for root in kind.roots:
            if root in held:
                key = (module_of(produced[0][0]), held[root])
                counts[key] = counts.get(key, 0) + produced[1]
    return tuple(Frozen(name, channels, reason) for (name, reason), channels in counts.items())


def module_of(parameter: str) -> str:
    """The module that owns a parameter: ``layer1.0.conv1`` for ``layer1.0.conv1.weight``."""
    return parameter.rpartition(".")[0] or parameter
