"""Contractions: products of two activations, which multiply along dims named by letters.

Of ``"htd,hsd->hts"``, a letter of both that stays (h) pairs what has the same index, one that goes
(d) is summed up over, and one of a single factor (t, s) is carried on. So the labels along a letter
of both are tied, as heads and their dims are between queries and keys, and those along one that
stays are the labels of the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, fx

from spaces.walk import Walk, neutral

ENTERS = "enters a product of activations"


@dataclass(frozen=True, slots=True)
class Factor:
    """A tensor that is multiplied: its labels, a letter for each dim, and which of the leaves of
    the operation's arguments it is, if it is one."""

    labels: Tensor
    letters: str
    leaf: int | None = None


def product(walk: Walk, node: fx.Node, factors: tuple[Factor, Factor], output: str) -> Tensor:
    """The labels of a product whose dims are the letters ``output``.

    Channels may lie along one letter. Along several the product has channels of two kinds at once:
    all of them must stay.
    """
    sizes = _sizes(factors)
    shape = tuple(sizes[letter] for letter in output)
    varying = {f.letters[d] for f in factors for d in walk.labels.varying(f.labels)}
    if len(varying) == 1:
        return _along(walk, node, factors, output, varying.pop(), sizes)
    walk.cost(node, prod(sizes.values()))
    reason = walk.because(node, ENTERS)
    for factor in factors:
        walk.labels.freeze(factor.labels, reason)
    return walk.labels.fixed(reason).expand(shape) if varying else neutral(shape)


def _along(
    walk: Walk,
    node: fx.Node,
    factors: tuple[Factor, Factor],
    output: str,
    letter: str,
    sizes: dict[str, int],
) -> Tensor:
    """The same where channels lie along one letter only."""
    lines = []
    for factor in factors:
        dim = factor.letters.find(letter)
        if dim < 0 or factor.labels.shape[dim] != sizes[letter]:
            walk.labels.freeze(factor.labels, walk.because(node, ENTERS))
            continue
        lines.append(walk.along(node, factor.labels, dim))
        if letter not in output and factor.leaf is not None:
            walk.contracts(node, factor.leaf, dim, lines[-1])
    walk.labels.tie(lines[0], lines[-1])
    line = torch.maximum(lines[0], lines[-1])  # a label wins over NEUTRAL
    each = prod(size for other, size in sizes.items() if other != letter)
    walk.cost(node, each, labels=line)
    shape = tuple(sizes[each] for each in output)
    if letter not in output:
        return neutral(shape)
    behind = len(output) - 1 - output.index(letter)
    return line.view(-1, *(1 for _ in range(behind))).expand(shape)


def _sizes(factors: tuple[Factor, Factor]) -> dict[str, int]:
    """Letter → size; a dim of size 1 is stretched by the other factor's."""
    sizes: dict[str, int] = {}
    for factor in factors:
        for letter, size in zip(factor.letters, factor.labels.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return sizes
