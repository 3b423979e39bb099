"""Products: with a parameter they are linear layers; of activations they are contractions."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, fx

from spaces.nodes import operation
from spaces.rules.contractions import Factor, product
from spaces.rules.counting import count
from spaces.rules.layers import attach
from spaces.rules.pointwise import meeting
from spaces.rules.table import rule
from spaces.walk import Walk, neutral


@rule("matmul", "mm", "mv", "bmm", "baddbmm")
def _matmul(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Any:
    left, right = _factors(node)
    if _matrix(walk, right) and not _matrix(walk, left):
        return _contracted(walk, node, left, right, -1, 0)
    if _matrix(walk, left) and walk.weights.get(right) is None:
        column, behind = len(walk.shape(left)) - 1, int(len(walk.shape(right)) > 1)
        return _contracted(walk, node, right, left, -1 - behind, column, behind)
    if operation(node) == "baddbmm" or _matrix(walk, left) or _matrix(walk, right):
        return _of_activations(walk, node, walk.shape(left))
    one, other, output = _letters(len(walk.shape(left)), len(walk.shape(right)))
    factors = Factor(walk.label(left), one, 0), Factor(walk.label(right), other, 1)
    return product(walk, node, factors, output)


@rule("addmm", "addmv")
def _addmm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    left, right = _factors(node)
    if not _matrix(walk, right) or walk.weights.get(left) is not None:
        return _of_activations(walk, node, walk.shape(left))
    labels = _contracted(walk, node, left, right, -1, 0)
    if len(walk.shape(args["self"])) != 1:
        raise ValueError("adds more than a bias")
    attach(walk, args["self"], walk.along(node, labels, -1), "out")
    return labels


@rule("dot", "vdot")
def _dot(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Any:
    return _of_activations(walk, node, walk.shape(_factors(node)[0]))


@rule("scaled_dot_product_attention")
def _attention(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    """Scores of queries and keys, to which the mask is added, times values."""
    query, key, value = (walk.label(args[name]) for name in ("query", "key", "value"))
    if args.get("enable_gqa"):
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    batch = _BATCH[: query.dim() - 2]
    of_query, of_key = Factor(query, f"{batch}td", 0), Factor(key, f"{batch}sd", 1)
    scores = product(walk, node, (of_query, of_key), f"{batch}ts")
    if (mask := args["attn_mask"]) is not None:
        scores = meeting(walk, node, scores, mask)
    factors = Factor(scores, f"{batch}ts"), Factor(value, f"{batch}sv", 2)
    return product(walk, node, factors, f"{batch}tv")


@rule("einsum")
def _einsum(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """A contraction of one dim of an activation with a matrix is a linear layer."""
    operands, terms = args["tensors"], _terms(args["equation"])
    reason = "enters a product of activations"
    if len(operands) == 2 and terms:
        for number in (0, 1):
            given, weight = operands[1 - number], operands[number]
            if _matrix(walk, weight, 2) and walk.weights.get(given) is None:
                if plan := _contraction(terms[1 - number], terms[number], terms[2]):
                    return _contracted(walk, node, given, weight, *plan)
                reason = "enters a product of more than one dim"
        if _is_product(*terms) and not any(_matrix(walk, given) for given in operands):
            one, other = (Factor(walk.label(operands[n]), terms[n], n + 1) for n in (0, 1))
            return product(walk, node, (one, other), terms[2])
    count(walk, node)
    return walk.freeze_all(node, reason)


def _factors(node: fx.Node) -> tuple[Any, Any]:
    """The two tensors that are multiplied; before them may stand one that is added."""
    start = int(operation(node) in ("addmm", "addmv", "baddbmm"))
    left, right = node.args[start : start + 2]
    return left, right


def _matrix(walk: Walk, node: Any, dims: int | None = None) -> bool:
    weight = walk.weights.get(node)
    return weight is not None and len(weight.dims) in ((dims,) if dims else (1, 2))


def _contracted(
    walk: Walk, node: fx.Node, given: Any, weight: Any, read: int, column: int, behind: int = 0
) -> Tensor:
    """A product over one dim of what is given, ``read``, and one of the weight, ``column``.

    The weight's other dim, if it has one, has so many dims behind it in the output.
    """
    shape, parameter = walk.shape(node), walk.weights[weight].parameter
    walk.reads(node, weight, column, walk.along(node, walk.label(given), read))
    if len(walk.shape(weight)) == 1:
        walk.cost(node, prod(shape), parameter)
        return neutral(shape)
    out = walk.writes(weight, 1 - column)
    walk.cost(node, prod(shape) // len(out), parameter)
    return out.view(-1, *(1 for _ in range(behind))).expand(shape)


def _of_activations(walk: Walk, node: fx.Node, left: tuple[int, ...]) -> Any:
    walk.cost(node, prod(walk.shape(node)) * left[-1])
    return walk.freeze_all(node, "enters a product of activations")


def _letters(left: int, right: int) -> tuple[str, str, str]:
    """The dims of a matmul between tensors of so many dims, and of what comes out, as letters."""
    batch = _BATCH[: max(left, right) - 2]
    one = f"{batch}mk"[-left:] if left > 1 else "k"
    other = f"{batch}kn"[-right:] if right > 1 else "k"
    return one, other, batch + "m" * (left > 1) + "n" * (right > 1)


_BATCH = "ABCDEFGH"


def _terms(equation: str) -> list[str]:
    """The letters of the operands and of the output; none where one is not one dim of each."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = [*inputs.split(","), output]
    plain = arrow and "." not in equation and all(len(set(t)) == len(t) for t in terms)
    return terms if plain else []


def _is_product(one: str, other: str, output: str) -> bool:
    """Whether all that is summed up over is a dim of both, and there is some.

    >>> _is_product("bthd", "bshd", "bhts"), _is_product("bi", "bj", "bij")
    (True, False)
    """
    gone = {*one, *other} - {*output}
    return bool(gone) and gone <= {*one} & {*other}


def _contraction(given: str, weight: str, output: str) -> tuple[int, int, int] | None:
    """The dims that are contracted, of what is given and of the weight, and how many dims of the
    output are behind the other one of the weight; None if it is no contraction with a matrix.

    >>> _contraction("bnc", "dc", "bnd")
    (2, 1, 0)
    """
    gone = [c for c in weight if c in given and c not in output]
    free = [c for c in weight if c in output and c not in given]
    stays = all(c in output for c in given if c not in gone)
    if len(weight) != 2 or len(gone) != 1 or len(free) != 1 or not stays:
        return None
    behind = len(output) - 1 - output.index(free[0])
    return given.index(gone[0]), weight.index(gone[0]), behind
