"""Products: with a parameter they are linear layers; of activations, what enters them is frozen."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, fx

from spaces.nodes import operation
from spaces.rules.counting import count
from spaces.rules.layers import attach
from spaces.rules.table import freeze_all, rule
from spaces.walk import Walk, neutral


@rule("matmul", "mm", "mv", "bmm", "baddbmm")
def _matmul(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Any:
    left, right = _factors(node)
    if _matrix(walk, right) and not _matrix(walk, left):
        return _times_weight(walk, node, left, right)
    if _matrix(walk, left) and walk.weight(right) is None:
        return _weight_times(walk, node, left, right)
    return _of_activations(walk, node, walk.shape(left))


@rule("addmm", "addmv")
def _addmm(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    left, right = _factors(node)
    if not _matrix(walk, right) or walk.weight(left) is not None:
        return _of_activations(walk, node, walk.shape(left))
    labels = _times_weight(walk, node, left, right)
    if len(walk.shape(args["self"])) != 1:
        raise ValueError("adds more than a bias")
    attach(walk, args["self"], walk.along(node, labels, -1), "out")
    return labels


@rule("dot", "vdot")
def _dot(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Any:
    return _of_activations(walk, node, walk.shape(_factors(node)[0]))


@rule("scaled_dot_product_attention")
def _attention(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    query, key, value = (walk.shape(args[name]) for name in ("query", "key", "value"))
    walk.cost(node, prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))
    return freeze_all(walk, node, "enters attention, whose heads have a fixed size")


@rule("einsum")
def _einsum(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """A contraction of one dim of an activation with a matrix is a linear layer."""
    operands = args["tensors"]
    if len(operands) == 2 and (plan := _contraction(args["equation"])):
        for number in (0, 1):
            given, weight = operands[1 - number], operands[number]
            if _matrix(walk, weight, 2) and walk.weight(given) is None:
                return _contracted(walk, node, given, weight, plan[number])
    count(walk, node)
    return freeze_all(walk, node, "enters a product of activations")


def _factors(node: fx.Node) -> tuple[Any, Any]:
    """The two tensors that are multiplied; before them may stand one that is added."""
    start = int(operation(node) in ("addmm", "addmv", "baddbmm"))
    left, right = node.args[start : start + 2]
    return left, right


def _matrix(walk: Walk, node: Any, dims: int | None = None) -> bool:
    weight = walk.weight(node)
    return weight is not None and len(weight.dims) in ((dims,) if dims else (1, 2))


def _times_weight(walk: Walk, node: fx.Node, given: Any, weight: Any) -> Tensor:
    """``x @ W`` with W of shape (I, O), or (I,)."""
    shape, parameter = walk.shape(node), walk.weights[weight].parameter
    walk.reads(node, weight, 0, walk.along(node, walk.label(given), -1))
    if len(walk.shape(weight)) == 1:
        walk.cost(node, prod(shape), parameter)
        return neutral(shape)
    walk.cost(node, prod(shape[:-1]), parameter)
    return walk.writes(weight, 1).expand(shape)


def _weight_times(walk: Walk, node: fx.Node, weight: Any, given: Any) -> Tensor:
    """``W @ x`` with W of shape (O, I), or (I,), and x of shape (…, I, N), or (I,)."""
    shape, parameter = walk.shape(node), walk.weights[weight].parameter
    labels = walk.label(given)
    vector = labels.dim() == 1
    walk.reads(node, weight, -1, walk.along(node, labels, -1 if vector else -2))
    if len(walk.shape(weight)) == 1:
        walk.cost(node, prod(shape), parameter)
        return neutral(shape)
    out = walk.writes(weight, 0)
    walk.cost(node, prod(shape) // len(out), parameter)
    return (out if vector else out.view(-1, 1)).expand(shape)


def _of_activations(walk: Walk, node: fx.Node, left: tuple[int, ...]) -> Any:
    walk.cost(node, prod(walk.shape(node)) * left[-1])
    return freeze_all(walk, node, "enters a product of activations")


def _contraction(equation: str) -> list[tuple[int, int, int, int]] | None:
    """For each operand as the weight: the contracted dim of the other operand and of the weight,
    the free dim of the weight, and where that lies in the output.

    >>> _contraction("bnc,dc->bnd")[1]
    (2, 1, 0, 2)

    None where it is no contraction of one dim with a matrix.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow or "." in equation or any(len(set(t)) < len(t) for t in terms):
        return None
    return [_roles(terms[1 - number], terms[number], output) for number in (0, 1)]


def _roles(other: str, weight: str, output: str) -> tuple[int, int, int, int]:
    gone = [c for c in weight if c in other and c not in output]
    free = [c for c in weight if c in output and c not in other]
    stays = all(c in output for c in other if c not in gone)
    if len(weight) != 2 or len(gone) != 1 or len(free) != 1 or not stays:
        return (-1, -1, -1, -1)
    return (
        other.index(gone[0]),
        weight.index(gone[0]),
        weight.index(free[0]),
        output.index(free[0]),
    )


def _contracted(
    walk: Walk, node: fx.Node, given: Any, weight: Any, plan: tuple[int, int, int, int]
) -> Tensor:
    read, column, row, place = plan
    if read < 0:
        count(walk, node)
        frozen: Tensor = freeze_all(walk, node, "enters a product of more than one dim")
        return frozen
    shape = walk.shape(node)
    walk.reads(node, weight, column, walk.along(node, walk.label(given), read))
    out = walk.writes(weight, row)
    walk.cost(node, prod(shape) // len(out), walk.weights[weight].parameter)
    return out.view(-1, *(1 for _ in shape[place + 1 :])).expand(shape)
