"""The state of a walk over an exported graph: what the rules read, and what they leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind

from spaces.labels import NEUTRAL, Kind, Labels, Place


@dataclass(frozen=True, slots=True)
class Cost:
    """One operation's flops: ``constant`` times the kept size of each axis of ``parameter``.

    ``parameter`` is None for an operation between activations, whose flops no policy changes.
    ``module`` is the innermost module that called it.
    """

    constant: int
    parameter: str | None = None
    module: str = ""


@dataclass(frozen=True, slots=True)
class Uncounted:
    """An operation that multiplies weights, and nobody knows how often."""

    module: str
    operation: str


@dataclass(slots=True)
class Trace:
    """What a walk leaves behind."""

    program: torch.export.ExportedProgram
    tensors: dict[str, Tensor]
    names: dict[str, str]
    """Every name of a tensor → its first name; everything else here uses first names."""
    labels: Labels = field(default_factory=Labels)
    axes: dict[Place, Tensor] = field(default_factory=dict)
    kinds: dict[Place, Kind] = field(default_factory=dict)
    elements: dict[str, Tensor] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    """(module, reason) → channels, for layers that stay whole and have no labels of their own."""
    statistics: dict[str, tuple[int, Tensor]] = field(default_factory=dict)
    """Operation → the dim it takes a statistic over, and the labels along that dim."""
    uncounted: list[Uncounted] = field(default_factory=list)
    activations: list[tuple[str, Tensor]] = field(default_factory=list)
    """Every use of an activation function, in order, with the labels of its output."""


class Walk:
    """The state of one pass over one graph; the rules read and write it.

    ``values`` holds, for each node, its label tensor, a list of them, or None for what is no
    tensor; ``constants`` the numbers of nodes that depend on no input and no parameter.
    """

    def __init__(self, result: Trace, program: torch.export.ExportedProgram) -> None:
        self.result = result
        self.labels = result.labels
        self.values: dict[fx.Node, Any] = {}
        self.constants: dict[fx.Node, Any] = {}
        self._parameters: dict[fx.Node, str] = {}
        specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        for node in program.graph_module.graph.nodes:
            if node.op == "placeholder":
                self._place(node, specs[node.name], program)

    def _place(self, node: fx.Node, spec: Any, program: torch.export.ExportedProgram) -> None:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            name = self.result.names[spec.target]
            tensor = self.result.tensors[name]
            if tensor.is_floating_point():
                self._parameters[node] = name
            else:
                self.constants[node] = tensor.detach().cpu()
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            self.constants[node] = program.constants[spec.target].detach().cpu()
        elif isinstance(node.meta.get("val"), Tensor):
            self.values[node] = self.labels.fixed("network input").expand(node.meta["val"].shape)

    def parameter(self, node: Any) -> str | None:
        """The name of the parameter that this node is, if it is one."""
        return self._parameters.get(node)

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of the node's (first) tensor."""
        value = node.meta["val"]
        return tuple((value if isinstance(value, Tensor) else value[0]).shape)

    def axis(self, parameter: str, dim: int, kind: Kind) -> Tensor:
        """The labels along one dim of a parameter, made at first use. Shape ``(size,)``."""
        place = (parameter, dim)
        if place not in self.result.axes:
            self.result.axes[place] = self.labels.fresh(self.result.tensors[parameter].shape[dim])
            self.result.kinds[place] = kind
            if parameter in self.result.elements:
                self._used_twice(parameter)
        return self.result.axes[place]

    def label(self, node: Any) -> Tensor:
        """The label tensor of a node, in the shape of its value."""
        if node in self.values:
            return self.values[node]
        if node in self._parameters:
            return self._label_elements(self._parameters[node])
        constant = self.constants[node]
        fixed = self.labels.fixed("meets a constant whose size is fixed in the code")
        return fixed.expand(constant.shape)

    def freeze(self, node: Any, reason: str) -> None:
        """Whatever labels this node carries must stay."""
        value = None if node in self.constants else self.values.get(node, node)
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, fx.Node):
                self.labels.freeze(self.label(one), reason)
            elif isinstance(one, Tensor):
                self.labels.freeze(one, reason)

    def cost(self, node: fx.Node, constant: int, parameter: str | None = None) -> None:
        """Count one operation; ``constant`` is what its flops are beside the parameter's size."""
        self.result.costs.append(Cost(constant, parameter, module(node)))

    def hold(self, node: fx.Node, channels: int, reason: str) -> None:
        """Name the layer of ``node``, whose ``channels`` outputs must stay."""
        self.result.held[module(node) or node.name, reason] = channels

    def statistic(self, node: fx.Node, dim: int, labels: Tensor) -> None:
        """The operation takes a statistic over the channels that lie along ``dim``."""
        self.result.statistics[node.name] = (dim, labels)

    def activation(self, node: fx.Node, function: str) -> None:
        """The operation is an activation function."""
        labels = neutral(self.shape(node)) if node in self.constants else self.values[node]
        self.result.activations.append((function, labels))

    def _label_elements(self, parameter: str) -> Tensor:
        if parameter not in self.result.elements:
            shape = self.result.tensors[parameter].shape
            self.result.elements[parameter] = self.labels.fresh(prod(shape)).view(shape)
            if any(name == parameter for name, _ in self.result.axes):
                self._used_twice(parameter)
        return self.result.elements[parameter]

    def _used_twice(self, parameter: str) -> None:
        reason = f"{parameter} is both a layer's weight and used in arithmetic"
        self.labels.freeze(self.result.elements[parameter], reason)
        for (name, _), labels in self.result.axes.items():
            if name == parameter:
                self.labels.freeze(labels, reason)


def module(node: fx.Node) -> str:
    """The innermost module that called the node's operation; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    name: str = list(stack.values())[-1][0]
    return name


def neutral(shape: tuple[int, ...]) -> Tensor:
    """Labels of elements that belong to no channel."""
    return torch.tensor(NEUTRAL).expand(shape)
