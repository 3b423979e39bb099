"""Walks the exported graph of a model with labels in place of numbers, by the ``spaces.rules``.

What comes out says which label lies at which index of which parameter, and what operations cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from spaces.copies import copied
from spaces.errors import ModelError, UserError, in_one_line
from spaces.export import exported
from spaces.groups import module_of
from spaces.inputs import Inputs, call, repeated
from spaces.rules import apply
from spaces.slicing import named_tensors
from spaces.state import all_tensors
from spaces.walk import Trace, Walk


def trace(
    model: nn.Module,
    inputs: Inputs,
    inside: Sequence[str] = (),
    outside: Collection[str] = (),
) -> Trace:
    """Labels of every parameter of ``model``, which is left as it was.

    Parameters that the eval-mode graph does not use (auxiliary heads, say) are looked for in the
    train-mode graph as well, so that what only training uses is kept whole too.

    Args:
        inside: the submodules that the model's forward calls; without any it is the network's own.
        outside: parameters that are used elsewhere, too, and so must stay as they are.

    Raises:
        UntraceableError: ``torch.export`` cannot trace the model in eval mode.
        ModelError: its ``eval`` does not do what it should, or it is reached by a global; or, where
            only training uses some of it, neither trace nor run it in train mode.
    """
    own = named_tensors(model)
    model = copied(model)
    must = "the model must go into eval mode, but eval() fails with"
    with in_one_line(ModelError, must, "mend that"):  # the method may be the user's own
        returned = model.eval()
    if returned is not model:
        raise ModelError(
            "the model's eval() must return the model itself, but it returned "
            f"{type(returned).__name__}; end eval() and train() with return self"
        )
    program = exported(model, inputs)
    _check_apart(program, own)
    tensors = named_tensors(model)
    first = {id(tensor): name for name, tensor in tensors.items()}
    names = {name: first[id(tensor)] for name, tensor in all_tensors(model).items()}
    what = "network" if not inside else inside[0] if len(inside) == 1 else "part"
    result = Trace(program, tensors, names, what=what)
    _walk(result)
    used = {name for name, _ in result.axes} | result.elements.keys()
    reached = tuple(f"{name}." for name in inside) or ""
    unused = [
        name
        for name, p in model.named_parameters()
        if name not in used and p.dim() > 0 and name.startswith(reached)
    ]
    if unused:
        _walk_training(result, model, inputs, unused)
    result.keep(outside, f"is used outside of {', '.join(inside)}, too")
    return result


def _check_apart(program: torch.export.ExportedProgram, own: Mapping[str, Tensor]) -> None:
    """A copy that uses tensors of the original is no copy: what is done to it would be seen there.

    Raises:
        ModelError: it uses one, by a global or by a function that closes over a module.
    """
    places = {t.data_ptr(): name for name, t in own.items() if t.numel()}
    constants = [t for t in program.constants.values() if isinstance(t, Tensor) and t.numel()]
    used = sorted(places[t.data_ptr()] for t in constants if t.data_ptr() in places)
    if used:
        raise ModelError(
            f"the model must reach its layers through its own modules, but {used[0]} is reached by "
            "a global or a closure, and so by every copy too; call self.<module> in forward"
        )


def train_trace(model: nn.Module, inputs: Inputs, like: Trace) -> Trace:
    """The train-mode graph with the labels of the eval-mode one: what a check of training needs.

    Raises:
        ModelError: it cannot be traced.
    """
    result = replace(like, program=exported(copied(model).train(), inputs))
    _walk(result)
    return result


def _walk_training(result: Trace, model: nn.Module, inputs: Inputs, unused: list[str]) -> None:
    several = [repeated(inputs), inputs]  # BatchNorm cannot train on one value a channel
    reason = ""
    for given in several:
        try:
            train_trace(model, given, result)
        except UserError as error:
            reason = reason or str(error.__cause__).strip().partition("\n")[0][:200]
        else:
            return
    _hold_untraceable(result, model.train(), several, unused, reason)


def _hold_untraceable(
    result: Trace, model: nn.Module, several: list[Inputs], unused: list[str], reason: str
) -> None:
    """What only training uses is named; if it does not even run, nobody could tell what breaks."""
    modules = sorted({module_of(name) for name in unused})
    if not any(_runs(model, given) for given in several):
        raise ModelError(
            f"what only training uses must run on the example inputs, but {', '.join(modules[:3])} "
            f"does not ({reason}); give larger example inputs, or a model without it"
        )
    told = f"only training uses it, and the train-mode graph cannot be traced ({reason})"
    for name in unused:
        result.held.setdefault((module_of(name), told), len(result.tensors[name]))


def _runs(model: nn.Module, inputs: Inputs) -> bool:
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            call(copied(model), inputs)
    except Exception:  # the model is anybody's, and so is what it raises
        return False
    return True


def _walk(result: Trace) -> None:
    walk = Walk(result)
    for node in result.program.graph_module.graph.nodes:
        walk.node = node
        if node.op == "call_function":
            apply(walk, node)
        elif node.op == "get_attr":
            walk.values[node] = None  # a subgraph
        elif node.op == "output":
            for leaf in node.all_input_nodes:
                walk.freeze(leaf, f"{result.what} output")
