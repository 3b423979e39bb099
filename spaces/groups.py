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


@dataclass(frozen=True, slots=True)
class Frozen:
    """Channels that must stay.

    Attributes:
        name: the module whose output they are.
        channels: how many.
        reason: why, in one clause.
    """

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


def in_step(groups: Sequence[ChannelGroup]) -> ChannelGroup | None:
    """One group of several that must lose the same share: channel c of each goes with c of all.

    Where one has k times the channels of another, k of its neighbours go with each of the other's.
    None if their numbers of channels are no multiples of the least.
    """
    count = min(group.channels for group in groups)
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
    narrowest = min(groups, key=lambda group: group.channels)
    names = tuple(group.name for group in groups)
    return ChannelGroup(names[0], count, together, narrowest.choices, names)


def find_groups(
    trace: Trace, round_to: int | None = None
) -> tuple[tuple[ChannelGroup, ...], tuple[Frozen, ...]]:
    """Channels with the same set of places form one group; what must stay comes with its reason."""
    classes = _classes(trace)
    frozen = trace.labels.frozen()
    together: dict[tuple[tuple[Place, int], ...], list[int]] = {}
    for root, touches in classes.items():
        if root not in frozen:
            signature = tuple((place, len(index)) for place, index in touches)
            together.setdefault(signature, []).append(root)
    held = {root: frozen[root] for root in classes if root in frozen}
    groups = []
    for signature, roots in together.items():
        reason = _obstacle(trace, signature, roots, round_to)
        if reason is None:
            groups.append(_group(trace, classes, signature, roots, round_to))
        else:
            held |= dict.fromkeys(roots, reason)
    return _named(groups), _frozen(trace, classes, held)


def _classes(trace: Trace) -> dict[int, list[tuple[Place, np.ndarray]]]:
    """Representative → the places it occupies, in the network's order, with its positions there."""
    classes: dict[int, list[tuple[Place, np.ndarray]]] = {}
    for place, labels in _lines(trace).items():
        roots = trace.labels.find(labels).numpy()
        order = np.argsort(roots, kind="stable")
        unique, starts = np.unique(roots[order], return_index=True)
        for root, index in zip(unique.tolist(), np.split(order, starts[1:]), strict=True):
            classes.setdefault(root, []).append((place, index))
    return classes


def _lines(trace: Trace) -> dict[Place, Tensor]:
    """Every place with its labels; parameters used in arithmetic lie along the dim that varies."""
    lines = dict(trace.axes)
    for name, labels in trace.elements.items():
        dims = trace.labels.varying(labels)
        if len(dims) > 1:
            trace.labels.freeze(labels, f"{name} varies over several dims at once")
        elif dims:
            lines[name, dims[0]] = trace.labels.along(labels, dims[0])
            trace.kinds.setdefault((name, dims[0]), "scale")
    return lines


def _obstacle(
    trace: Trace,
    signature: tuple[tuple[Place, int], ...],
    roots: list[int],
    round_to: int | None,
) -> str | None:
    if not any(trace.kinds[place] == "out" for place, _ in signature):
        return "no layer produces them"
    if len(roots) == 1:
        count = signature[0][1]
        return "a single channel" if count == 1 else f"all {count} can only be removed together"
    if len(lattice(len(roots), round_to)) == 1:
        return f"{len(roots)} channels leave no choice on a lattice of {round_to}"
    return None


def _group(
    trace: Trace,
    classes: dict[int, list[tuple[Place, np.ndarray]]],
    signature: tuple[tuple[Place, int], ...],
    roots: list[int],
    round_to: int | None,
) -> ChannelGroup:
    first = next(k for k, (place, _) in enumerate(signature) if trace.kinds[place] == "out")
    roots = sorted(roots, key=lambda root: classes[root][first][1][0])
    members = tuple(
        Member(*place, np.stack([classes[root][k][1] for root in roots]), trace.kinds[place])
        for k, (place, _) in enumerate(signature)
    )
    name = module_of(signature[first][0][0])
    return ChannelGroup(name, len(roots), members, lattice(len(roots), round_to))


def _named(groups: list[ChannelGroup]) -> tuple[ChannelGroup, ...]:
    """Two groups of one producer get distinct names: ``conv``, ``conv/2``."""
    seen: dict[str, int] = {}
    named = []
    for group in groups:
        seen[group.name] = count = seen.get(group.name, 0) + 1
        named.append(group if count == 1 else replace(group, name=f"{group.name}/{count}"))
    return tuple(named)


def _frozen(
    trace: Trace, classes: dict[int, list[tuple[Place, np.ndarray]]], held: dict[int, str]
) -> tuple[Frozen, ...]:
    """Frozen channels by producer and reason; places that no layer produces are left out."""
    counts = dict(trace.held)
    for root, touches in classes.items():
        produced = next(((p, len(i)) for p, i in touches if trace.kinds[p] == "out"), None)
        if root in held and produced is not None:
            key = (module_of(produced[0][0]), held[root])
            counts[key] = counts.get(key, 0) + produced[1]
    return tuple(Frozen(name, channels, reason) for (name, reason), channels in counts.items())


def module_of(parameter: str) -> str:
    """The module that owns a parameter: ``layer1.0.conv1`` for ``layer1.0.conv1.weight``."""
    return parameter.rpartition(".")[0] or parameter
