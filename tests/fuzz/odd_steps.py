"""What people also do: regions, branches, checkpoints, buffers, hooks, unknown operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fuzz.draw import Draw, Step, along, channel_dim, layer, operation

everywhere = operation("image", "sequence", "vector")


@everywhere
def autocast(d: Draw, x: Tensor) -> Step:
    def run(m: Step, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y = m.f(x)
        return y.to(x.dtype)

    return Step(run, f=layer(d, x))


@everywhere
def without_grad(d: Draw, x: Tensor) -> Step:
    def run(m: Step, x: Tensor) -> Tensor:
        with torch.no_grad():
            gate = m.f(x).sigmoid()
        return x * gate

    return Step(run, f=layer(d, x, x.shape[channel_dim(x)]))


@everywhere
def checkpointed(d: Draw, x: Tensor) -> Step:
    reentrant = d.often(0.2)
    return Step(lambda m, x: checkpoint(m.f, x, use_reentrant=reentrant), f=layer(d, x))


@everywhere
def conditional(d: Draw, x: Tensor) -> Step | None:
    if d.often(0.8):  # torch.cond compiles its branches: seconds
        return None
    width = d.width()
    return Step(
        lambda m, x: torch.cond(x.sum() > 0, m.a.forward, m.b.forward, (x,)),
        a=layer(d, x, width),
        b=layer(d, x, width),
    )


@everywhere
def branch_on_size(d: Draw, x: Tensor) -> Step:
    dim, width = channel_dim(x), x.shape[channel_dim(x)]
    f = layer(d, x, width)
    return Step(lambda m, x: m.f(x) if x.shape[dim] >= width else x, f=f)


@everywhere
def train_only(d: Draw, x: Tensor) -> Step:
    f = layer(d, x, x.shape[channel_dim(x)])
    return Step(lambda m, x: x + 0.1 * m.f(x) if m.training else x, f=f)


@everywhere
def unsaved_buffer(d: Draw, x: Tensor) -> Step:
    step = Step(lambda m, x: x * m.gate)
    step.register_buffer("gate", torch.linspace(0.5, 1.5, x.shape[channel_dim(x)]), False)
    step.gate = step.gate.view(along(x))
    return step


@everywhere
def saved_buffer(d: Draw, x: Tensor) -> Step:
    gate = torch.linspace(0.5, 1.5, x.shape[channel_dim(x)]).view(along(x))
    return Step(lambda m, x: x + m.gate, gate=gate)


class Stateful(nn.Module):
    """Extra state that no tensor is."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def get_extra_state(self) -> dict[str, Any]:
        return {"factor": self.factor}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.factor = state["factor"]


@everywhere
def extra_state(_: Draw, x: Tensor) -> Step:
    return Step(lambda m, x: m.f(x), f=Stateful())


def _remember(module: nn.Module, _inputs: Any, output: Tensor) -> None:
    module.seen = output


@everywhere
def watched(d: Draw, x: Tensor) -> Step:
    f = layer(d, x)
    f.register_forward_hook(_remember)
    return Step(lambda m, x: m.f(x), f=f)


@everywhere
def kept_output(d: Draw, x: Tensor) -> Step:
    def run(m: Step, x: Tensor) -> Tensor:
        m.last = m.f(x)
        return m.last * 2

    return Step(run, f=layer(d, x))


@everywhere
def spectral_normed(d: Draw, x: Tensor) -> Step:
    f = nn.utils.parametrizations.spectral_norm(layer(d, x))
    return Step(lambda m, x: m.f(x), f=f)


@everywhere
def unknown(d: Draw, x: Tensor) -> Step:
    dim, c = channel_dim(x), x.shape[channel_dim(x)]
    k = max(1, c // 2)
    order = torch.randperm(c)
    runs = (
        lambda _, x: x.topk(k, dim)[0],
        lambda _, x: x.cumsum(dim),
        lambda _, x: torch.fft.fft(x.float(), dim=dim).real.to(x.dtype),
        lambda _, x: x.roll(1, dim),
        lambda _, x: x.sort(dim)[0],
        lambda _, x: x.flip(dim),
        lambda m, x: x.index_select(dim, m.order),
        lambda _, x: torch.repeat_interleave(x, 2, dim),
        lambda _, x: torch.cat([x, x], dim),
        lambda _, x: x.diff(dim=dim) if x.shape[dim] > 1 else x,
        lambda _, x: x * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype),
        lambda _, x: x.cumprod(dim).tanh(),
        lambda _, x: x.repeat_interleave(3, dim).unfold(dim, 3, 3).mean(-1),
    )
    return Step(d.choice(runs), order=order)


@everywhere
def shared_weight(d: Draw, x: Tensor) -> Step:
    a = layer(d, x, x.shape[channel_dim(x)])
    b = layer(d, x, x.shape[channel_dim(x)])
    if a.weight.shape == b.weight.shape:
        b.weight = a.weight
    return Step(lambda m, x: m.a(x).relu() + m.b(x), a=a, b=b)


@everywhere
def frozen_layer(d: Draw, x: Tensor) -> Step:
    return Step(lambda m, x: m.f(x).relu(), f=layer(d, x).requires_grad_(False))
