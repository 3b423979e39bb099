"""Recurrent layers: each hidden unit has one row in every gate, and one column where it is read.

Layers and directions of one module share its ``hidden_size``, and so the widths of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from spaces.nodes import operation
from spaces.rules.layers import attach, whole
from spaces.rules.table import rule
from spaces.walk import Walk

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """Every weight matrix is used once at every step of the sequence."""
    if "input" not in args:
        raise ValueError("a packed sequence")
    positions, weights = prod(walk.shape(args["input"])[:-1]), args["params"]
    directions = 1 + bool(args["bidirectional"])
    cells = _parts(weights, 2 + 2 * bool(args["has_biases"]))
    is_projected = len(cells) != directions * args["num_layers"]
    if is_projected or not _are_parameters(walk, weights):
        matrices = [weight for weight in weights if len(walk.shape(weight)) == 2]
        return whole(walk, node, positions, matrices)
    source = walk.along(node, walk.label(args["input"]), -1)
    lines: list[Tensor] = []
    for layer in _parts(cells, directions):
        own = [_cell_units(walk, node, source, cell, positions) for cell in layer]
        source = torch.cat(own)
        lines += own
    for line in lines[1:]:
        walk.labels.tie(line, lines[0])
    _meet_states(walk, node, args["hx"], lines[0])
    states = [lines[0].expand(value.shape) for value in node.meta["val"][1:]]
    return [source.expand(walk.shape(node)), *states]


@rule("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _cell(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    """One step of a recurrent layer."""
    positions = prod(walk.shape(args["input"])[:-1])
    cell = [args[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh") if args[name] is not None]
    if not _are_parameters(walk, cell):
        return whole(walk, node, positions, cell[:2])
    source = walk.along(node, walk.label(args["input"]), -1)
    line = _cell_units(walk, node, source, cell, positions)
    _meet_states(walk, node, args["hx"], line)
    states = node.meta["val"]
    if isinstance(states, Tensor):
        return line.expand(states.shape)
    return [line.expand(value.shape) for value in states]


def _parts(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The values in order, so many at a time."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def _are_parameters(walk: Walk, weights: Any) -> bool:
    return all(weight in walk.weights for weight in weights)


def _cell_units(walk: Walk, node: fx.Node, source: Tensor, cell: Any, positions: int) -> Tensor:
    """The hidden units of one layer in one direction, which reads ``source``; ``(units,)``."""
    of_input, of_hidden, *biases = cell
    walk.reads(node, of_input, 1, source)
    rows = walk.writes(of_input, 0)
    gates = rows.view(GATES[operation(node).removesuffix("_cell")], -1)
    units = gates[0]
    walk.labels.tie(gates, units)
    walk.labels.tie(walk.writes(of_hidden, 0), rows)
    walk.reads(node, of_hidden, 1, units)
    for bias in biases:
        attach(walk, bias, rows, "out")
    for matrix in (of_input, of_hidden):
        walk.cost(node, positions, walk.weights[matrix].parameter)
    return units


def _meet_states(walk: Walk, node: fx.Node, states: Any, units: Tensor) -> None:
    """What the layer begins with has its units, if it comes from elsewhere; zeros follow them."""
    for state in states if isinstance(states, (list, tuple)) else [states]:
        if state not in walk.constants:
            walk.labels.tie(walk.along(node, walk.label(state), -1), units)
