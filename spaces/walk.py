"""The state of a walk over an exported graph: what the rules read, and what they leave behind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_map

from spaces.inputs import tensors
from spaces.labels import NEUTRAL, Kind, Labels, Place
from spaces.nodes import is_sized, module, operation, sizes, source


@dataclass(frozen=True, slots=True)
class Cost:
    """One operation's flops: ``constant`` times the kept size of each axis of ``parameter``.

    Of an operation between activations ``parameter`` is None, and ``constant`` is for each of
    ``labels`` that is kept, or, once groups are known, for each channel of ``group``, which has
    ``channels`` in the unpruned network; without either no policy changes it. ``module`` is the
    innermost module that called it.
    """

    constant: int
    parameter: str | None = None
    module: str = ""
    labels: Tensor | None = None
    group: str | None = None
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Uncounted:
    """An operation that multiplies weights, and nobody knows how often."""

    module: str
    operation: str


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter as an operation meets it: dim ``d`` there is dim ``dims[d]`` of the parameter."""

    parameter: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A place where channels are read: the operation takes ``weight``, whose ``dim`` meets them."""

    weight: fx.Node
    dim: int
    place: Place


@dataclass(frozen=True, slots=True)
class Contraction:
    """A sum over channels: ``leaf``, among the leaves of the arguments of an operation, has them
    along ``dim``, with these labels."""

    leaf: int
    dim: int
    labels: Tensor


@dataclass(slots=True)
class Trace:
    """What walks over the graphs of one network leave behind.

    Attributes:
        names: every name of a tensor → its first name; everything else here uses first names.
        met: parameter used in arithmetic → where it is first.
        held: (module, reason) → channels, for layers that stay whole and have no labels.
        activations: every use of an activation function, in order, with the labels of its output.
        statistics: node → the dim it takes a statistic over, and the labels along that dim.
        reads: node → where it reads channels.
        contractions: node → the tensors it takes that are multiplied and summed up over channels.
        what: whose inputs and outputs those of the program are.
    """

    program: torch.export.ExportedProgram
    tensors: dict[str, Tensor]
    names: dict[str, str]
    labels: Labels = field(default_factory=Labels)
    axes: dict[Place, Tensor] = field(default_factory=dict)
    kinds: dict[Place, Kind] = field(default_factory=dict)
    elements: dict[str, Tensor] = field(default_factory=dict)
    met: dict[str, str] = field(default_factory=dict)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    what: str = "network"
    # Of this one graph, and so not shared with the next:
    costs: list[Cost] = field(default_factory=list, init=False)
    uncounted: list[Uncounted] = field(default_factory=list, init=False)
    activations: list[tuple[str, Tensor]] = field(default_factory=list, init=False)
    statistics: dict[str, tuple[int, Tensor]] = field(default_factory=dict, init=False)
    reads: dict[str, list[Read]] = field(default_factory=dict, init=False)
    contractions: dict[str, list[Contraction]] = field(default_factory=dict, init=False)

    def keep(self, parameters: Collection[str], reason: str) -> None:
        """Freeze all channels of some parameters."""
        places = [(name, labels) for (name, _), labels in self.axes.items()]
        for name, labels in (*places, *self.elements.items()):
            if name in parameters:
                self.labels.freeze(labels, f"{name} {reason}")


class Walk:
    """The state of one pass over one graph; the rules read and write it.

    ``values`` holds, for each node, its label tensor, a list of them, or None for what is no
    tensor; ``constants`` the numbers of nodes that depend on no input and no parameter; ``weights``
    the nodes that are a parameter, or one with its dims in another order; ``node`` is the one that
    the walk has come to.
    """

    def __init__(self, result: Trace) -> None:
        self.result = result
        self.labels = result.labels
        self.node: fx.Node
        self.values: dict[fx.Node, Any] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.weights: dict[fx.Node, Weight] = {}
        specs = {spec.arg.name: spec for spec in result.program.graph_signature.input_specs}
        for node in result.program.graph_module.graph.find_nodes(op="placeholder"):
            self._place(node, specs[node.name])

    def _place(self, node: fx.Node, spec: Any) -> None:
        value = node.meta.get("val")
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            name = self.result.names[spec.target]
            tensor = self.result.tensors[name]
            if tensor.is_floating_point() or tensor.is_complex():
                self.weights[node] = Weight(name, tuple(range(tensor.dim())))
            else:
                self.constants[node] = tensor.detach().cpu()
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            self.constants[node] = self.result.program.constants[spec.target].detach().cpu()
        elif isinstance(value, Tensor):
            self.values[node] = self.labels.fixed(f"{self.result.what} input").expand(sizes(value))
        else:
            self.values[node] = None

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of the node's (first) tensor."""
        value = node.meta["val"]
        return sizes(value if isinstance(value, Tensor) else value[0])

    def axis(self, parameter: str, dim: int, kind: Kind) -> Tensor:
        """The labels along one dim of a parameter, made at first use. Shape ``(size,)``."""
        place = (parameter, dim)
        if place not in self.result.axes:
            self.result.axes[place] = self.labels.fresh(self.result.tensors[parameter].shape[dim])
            self.result.kinds[place] = kind
            if parameter in self.result.elements:
                self._used_twice(parameter)
        return self.result.axes[place]

    def reads(self, node: fx.Node, weight_node: Any, dim: int, line: Tensor) -> None:
        """The operation reads channels ``line`` ``(size,)`` along a dim of a weight it takes."""
        weight = self.weights[weight_node]
        place = (weight.parameter, weight.dims[dim])
        self.labels.tie(self.axis(*place, "in"), line)
        self.result.reads.setdefault(node.name, []).append(Read(weight_node, dim, place))

    def writes(self, weight_node: Any, dim: int) -> Tensor:
        """The channels that an operation makes along a dim of a weight it takes, ``(size,)``."""
        weight = self.weights[weight_node]
        return self.axis(weight.parameter, weight.dims[dim], "out")

    def label(self, node: Any) -> Tensor:
        """The label tensor of a node, in the shape of its value."""
        if node in self.values:
            found: Tensor = self.values[node]
            return found
        if weight := self.weights.get(node):
            return self._label_elements(weight.parameter).permute(weight.dims)
        return self.labels.fixed(self.because(node, CONSTANT)).expand(self.constants[node].shape)

    def along(self, node: fx.Node, labels: Tensor, dim: int) -> Tensor:
        """The channels that the operation meets along a dim, ``(size,)``; see ``Labels.along``."""
        return self.labels.along(labels, dim, self.because(node, "different channels meet"))

    def freeze(self, node: Any, reason: str) -> None:
        """Whatever labels this node carries must stay."""
        if node not in self.constants:
            value = self.label(node) if node in self.weights else self.values[node]
            for labels in tensors(value):
                self.labels.freeze(labels, reason)

    def freeze_all(self, node: fx.Node, reason: str) -> Any:
        """Freeze whatever enters the node, and what will meet its output; gives its labels."""
        reason = self.because(node, reason)
        for given in node.all_input_nodes:
            self.freeze(given, reason)
        fixed = self.labels.fixed(reason)
        return tree_map(
            lambda x: fixed.expand(sizes(x)) if isinstance(x, Tensor) else None, node.meta["val"]
        )

    def because(self, node: fx.Node, reason: str) -> str:
        """The reason with where it arises: operation, module, the user's file and line."""
        where = [operation(node)] if node.op == "call_function" else [node.name]
        if name := module(node):
            where.append(f"in {name}")
        if line := source(node):
            where.append(f"at {line}")
        return f"{reason} ({' '.join(where)})"

    def only_weights(self, node: fx.Node) -> bool:
        """Whether the node is a parameter, or computed from parameters alone."""
        waiting, seen, any_weight = [node], set(), False
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in self.weights:
                any_weight = True
            elif one.op == "placeholder" and one not in self.constants:
                return False
            waiting += one.all_input_nodes
        return any_weight

    def cost(
        self,
        node: fx.Node,
        constant: int,
        parameter: str | None = None,
        labels: Tensor | None = None,
    ) -> None:
        """Count one operation; ``constant`` is what its flops are beside the parameter's size, or
        for each of the labels."""
        if is_sized(node):
            self.result.costs.append(Cost(constant, parameter, module(node), labels))
        else:
            self.uncounted(node)

    def uncounted(self, node: fx.Node) -> None:
        """Name an operation that multiplies, nobody knows how often."""
        self.result.uncounted.append(Uncounted(module(node), operation(node)))

    def hold(self, node: fx.Node, channels: int, reason: str) -> None:
        """Name the layer of ``node``, whose ``channels`` outputs must stay."""
        self.result.held[module(node) or node.name, reason] = channels

    def statistic(self, node: fx.Node, dim: int, labels: Tensor) -> None:
        """The operation takes a statistic over the channels that lie along ``dim``."""
        self.result.statistics[node.name] = (dim, labels)

    def contracts(self, node: fx.Node, leaf: int, dim: int, labels: Tensor) -> None:
        """The operation sums up over the channels along ``dim`` of a tensor that it takes."""
        found = self.result.contractions.setdefault(node.name, [])
        found.append(Contraction(leaf, dim, labels))

    def activation(self, node: fx.Node, function: str) -> None:
        """The operation is an activation function."""
        labels = neutral(self.shape(node)) if node in self.constants else self.values[node]
        self.result.activations.append((function, labels))

    def _label_elements(self, parameter: str) -> Tensor:
        if parameter not in self.result.elements:
            shape = self.result.tensors[parameter].shape
            # A single number belongs to no channel: it meets all of them alike.
            new = self.labels.fresh(prod(shape)) if prod(shape) > 1 else neutral((1,))
            self.result.elements[parameter] = new.view(shape)
            where = self.because(self.node, f"{parameter} is used in arithmetic")
            self.result.met[parameter] = where
            if any(name == parameter for name, _ in self.result.axes):
                self._used_twice(parameter)
        return self.result.elements[parameter]

    def _used_twice(self, parameter: str) -> None:
        twice = f"{parameter} is both a layer's weight and used in arithmetic"
        reason = self.because(self.node, twice)
        self.labels.freeze(self.result.elements[parameter], reason)
        for (name, _), labels in self.result.axes.items():
            if name == parameter:
                self.labels.freeze(labels, reason)


CONSTANT = "meets a constant whose size is fixed in the code"


def neutral(shape: tuple[int, ...]) -> Tensor:
    """Labels of elements that belong to no channel."""
    return torch.tensor(NEUTRAL).expand(shape)
