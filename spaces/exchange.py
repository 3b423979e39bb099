"""Widths improved by changing one group, or two at a time: where nothing exact is at hand."""

from __future__ import annotations

import numpy as np

from spaces.problem import Places, Problem

REACH = 8
"""Places among a group's choices that one exchange moves its width by, at most."""
NEGLIGIBLE = 1e-12
"""A gain that rounding may have made."""


def exchanged(problem: Problem, places: Places) -> list[int] | None:
    """Places within the limit that no change of one or two groups within it improves.

    The change that lowers the total most comes first; where the given places are beyond the limit,
    the one that raises it least on the way back. None where no such change comes back.
    """
    choices, flops = problem.choices, problem.flops
    counts = [len(own) for own in choices]
    all_groups = np.repeat(np.arange(len(choices)), counts)
    all_widths, all_terms = np.concatenate(choices), np.concatenate(problem.terms)
    first = np.cumsum([0, *counts[:-1]])
    square = flops.square + flops.square.T
    now = first + np.asarray(places)
    while True:
        # All moves of one group to a width nearby; then every pair of two such moves.
        moves = np.flatnonzero(abs(np.arange(len(all_groups)) - now[all_groups]) <= REACH)
        group = all_groups[moves]
        wider = all_widths[moves] - all_widths[now][group]
        gain = all_terms[now][group] - all_terms[moves]
        slope = (flops.linear + square @ all_widths[now])[group]
        dearer = wider * (slope + wider * flops.square.diagonal()[group])
        slack = problem.limit - float(flops(all_widths[now]))
        both = square.take(group, 0).take(group, 1)  # in place from here: memory is what takes long
        both *= wider[:, None]
        both *= wider
        both += dearer[:, None]
        both += dearer
        beyond = both > slack
        beyond |= group[:, None] == group
        gains = np.add(gain[:, None], gain, out=both)
        gains[beyond] = -np.inf
        best = np.unravel_index(int(gains.argmax()), gains.shape)
        if slack >= 0 and gains[best] <= NEGLIGIBLE * max(1.0, abs(all_terms[now]).sum()):
            return [int(place) for place in now - first]
        if gains[best] == -np.inf:
            return None
        for k in best:
            now[group[k]] = moves[k]


def descended(problem: Problem, places: Places, price: float) -> list[int]:
    """Places among the choices that no change of one group improves, at that price of a flop."""
    flops, products = problem.flops, problem.flops.products
    now, widths = list(places), problem.widths(places)
    changed = True
    while changed:
        changed = False
        for g, (term, own) in enumerate(zip(problem.terms, problem.choices, strict=True)):
            slope = flops.linear[g] + products[g] @ widths
            totals = term + price * own * (slope + flops.square[g, g] * own)
            k = int(totals.argmin())
            if totals[k] < totals[now[g]]:
                now[g], widths[g], changed = k, own[k], True
    return now
