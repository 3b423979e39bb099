"""The tables of a network's layers, measured on this machine, fitted and checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from results.latency import Axis, LatencyRecord, LayerTimes
from search.latency.counts import NOTHING, Count, LayerCounts, layer_counts
from search.latency.design import designed, drawn
from search.latency.fitting import line, nodes_of, table
from search.latency.passes import Moment, repeated, timed
from spaces import Space, slice_model
from spaces.inputs import tensors

SECONDS = 30.0
"""For all passes, unless the fewest take longer."""
CHECKED = 8
"""Networks by which the tables are checked."""

Pair = tuple[Count, Count]


def measured(
    model: nn.Module, space: Space, batch: int = 1, seconds: float = SECONDS, checked: int = CHECKED
) -> LatencyRecord:
    """The tables for passes of ``batch`` items; the model is left as it was.

    Networks of the design and those of the check are cut from the model and timed in turns.

    Args:
        seconds: for all passes.
        checked: how many other networks are timed to check the tables.
    """
    example = repeated(space.example, batch, next(model.parameters()).device)
    counts = layer_counts(model, space)
    inside = [(each.reads, each.makes) for each in counts.values()]
    chosen, others = designed(space, inside), drawn(space, checked, np.random.default_rng(0))
    widths = np.concatenate([chosen, others])
    networks = [sliced(model, space, each) for each in widths]
    whole, parts, moments = timed(networks, counts, example, seconds)
    by_pair, layers = _summed(np.median(parts, axis=0), moments, counts)
    design = slice(len(chosen))
    tables = _tables(space, widths[design], {p: t[design] for p, t in by_pair.items()}, layers)
    times, low, high = (np.quantile(whole, q, axis=0) for q in (0.5, 0.25, 0.75))
    raw = LatencyRecord(tables=tables).cost(space.groups)(widths)
    shift, factor = line(raw[design], times[design])
    record = LatencyRecord(
        batch=batch,
        device=tensors(example)[0].device.type,
        threads=torch.get_num_threads(),
        constant=round(shift),
        tables=tuple(_scaled(each, factor) for each in tables),
        networks=len(chosen),
        turns=len(whole),
        spread=float(np.median((high - low) / times)),
    )
    pairs = zip(record.cost(space.groups)(others), times[len(chosen) :], strict=True)
    return replace(record, checks=tuple((int(mine), round(true)) for mine, true in pairs))


def sliced(model: nn.Module, space: Space, widths: np.ndarray) -> nn.Module:
    """The model cut to the first channels of each group, in eval mode."""
    keep = {g.name: np.arange(int(w)) for g, w in zip(space.groups, widths, strict=True)}
    return slice_model(model, space, keep).eval()


def _summed(
    parts: np.ndarray, moments: Sequence[Moment], counts: Mapping[str, LayerCounts]
) -> tuple[dict[Pair, np.ndarray], dict[Pair, list[str]]]:
    """The times ``(N,)`` of all parts between the same two counts, and the modules among them."""
    times: defaultdict[Pair, np.ndarray] = defaultdict(lambda: np.zeros(len(parts)))
    layers: defaultdict[Pair, list[str]] = defaultdict(list)
    for place, (one, other) in enumerate(pairwise(moments)):
        pair = _pair(_count(one, counts), _count(other, counts))
        times[pair] += parts[:, place]
        if one[0] and one[0] == other[0]:
            layers[pair].append(one[0])
    return dict(times), dict(layers)


def _count(moment: Moment, counts: Mapping[str, LayerCounts]) -> Count:
    name, when = moment
    own = counts.get(name, LayerCounts())
    count = own.reads if when == "begin" else own.makes
    return count if count.groups else NOTHING


def _pair(one: Count, other: Count) -> Pair:
    """One count instead of twice the same."""
    return (NOTHING, other) if one == other else (one, other)


def _tables(
    space: Space,
    widths: np.ndarray,
    times: Mapping[Pair, np.ndarray],
    layers: Mapping[Pair, list[str]],
) -> tuple[LayerTimes, ...]:
    most = max(3, *(len(np.unique(column)) for column in widths.T))
    made = []
    for pair, own in times.items():
        x, y = (count.of(space, widths) for count in pair)
        nodes = nodes_of(x, most), nodes_of(y, most)
        entries = table(x, y, nodes, own)
        reads, makes = (
            Axis(count.offset, count.groups, tuple(map(int, each)))
            for count, each in zip(pair, nodes, strict=True)
        )
        rows = tuple(tuple(map(float, row)) for row in entries)
        made.append(LayerTimes(tuple(layers.get(pair, ())), reads, makes, rows))
    return tuple(made)


def _scaled(layer: LayerTimes, factor: float) -> LayerTimes:
    rows = tuple(tuple(round(factor * time, 1) for time in row) for row in layer.times)
    return LayerTimes(layer.layers, layer.reads, layer.makes, rows)
