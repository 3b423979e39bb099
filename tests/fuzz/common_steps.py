"""Operations that every domain has: sums, stacks, slices, scalars, reductions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.draw import Draw, Step, along, channel_dim, layer, operation

everywhere = operation("image", "sequence", "vector")


@everywhere
def residual(d: Draw, x: Tensor) -> Step:
    inner = d.width()
    a = layer(d, x, inner)
    b = layer(d, a(x), x.shape[channel_dim(x)])
    if d.often(0.3):
        nn.init.zeros_(b.weight)
        nn.init.zeros_(b.bias)
    return Step(lambda m, x: x + m.b(F.relu(m.a(x))), a=a, b=b)


@everywhere
def layer_scale(d: Draw, x: Tensor) -> Step:
    scale = nn.Parameter(torch.full(along(x), d.choice((0.0, 1e-6, 0.5))))
    f = layer(d, x, x.shape[channel_dim(x)])
    return Step(lambda m, x: x + m.scale * m.f(x), f=f, scale=scale)


@everywhere
def cat(d: Draw, x: Tensor) -> Step:
    dim = channel_dim(x)
    return Step(lambda m, x: torch.cat([x, m.a(x), m.b(x)], dim), a=layer(d, x), b=layer(d, x))


@everywhere
def stacked(d: Draw, x: Tensor) -> Step:
    width, dim = d.width(), d.choice((0, 1, channel_dim(x) + 1, -1))
    runs = (
        lambda s: s.sum(dim),
        lambda s: s.mean(dim),
        lambda s: s.max(dim)[0],
        lambda s: s.amax(dim),
        lambda s: (s.softmax(dim) * s).sum(dim),
        lambda s: s.unbind(dim)[0] * s.select(dim, 1),
    )
    reduce = d.choice(runs)
    a, b = layer(d, x, width), layer(d, x, width)
    return Step(lambda m, x: reduce(torch.stack([m.a(x), m.b(x)], dim)), a=a, b=b)


@everywhere
def chunk_gate(d: Draw, x: Tensor) -> Step:
    dim, width = channel_dim(x), d.width()

    def run(m: Step, x: Tensor) -> Tensor:
        left, right = m.f(x).chunk(2, dim)
        return left * right.sigmoid()

    def split(m: Step, x: Tensor) -> Tensor:
        left, right = m.f(x).split(width, dim)
        return left * right.tanh()

    def sizes(m: Step, x: Tensor) -> Tensor:
        y = m.f(x)
        left, right = y.split([y.shape[dim] // 2] * 2, dim)
        return left + F.relu(right)

    return Step(d.choice((run, split, sizes)), f=layer(d, x, 2 * width))


@everywhere
def sliced(d: Draw, x: Tensor) -> Step:
    dim, c = channel_dim(x), x.shape[channel_dim(x)]
    k = max(1, d.choice((c // 2, c // 4, c - 1)))
    runs = (
        lambda _, x: x.narrow(dim, 0, k),
        lambda _, x: x.narrow(dim, 0, max(1, x.shape[dim] // 2)),
        lambda _, x: torch.cat([x.narrow(dim, 0, k), x.narrow(dim, k - 1, c - k + 1)], dim),
        lambda _, x: x.transpose(0, dim)[: x.shape[dim] // 2 + 1].transpose(0, dim),
        lambda _, x: x.transpose(0, dim)[::2].transpose(0, dim),
    )
    return Step(d.choice(runs))


@everywhere
def scalar(d: Draw, x: Tensor) -> Step:
    shape = d.choice(((), (1,), (1,) * x.dim()))
    runs = (
        lambda m, x: m.g * x,
        lambda m, x: x * m.g,
        lambda m, x: m.g + x,
        lambda m, x: x / m.g,
        lambda m, x: (x / m.g.exp()).softmax(-1),
        lambda m, x: torch.lerp(x, x.relu(), m.g.clamp(0, 1)),
    )
    return Step(d.choice(runs), g=d.parameter(*shape))


@everywhere
def scalar_buffer(d: Draw, x: Tensor) -> Step:
    return Step(lambda m, x: x * m.g, g=torch.full(d.choice(((), (1,))), 0.7))


@everywhere
def pairwise(d: Draw, x: Tensor) -> Step:
    width = d.width()
    runs = (
        torch.max,
        torch.minimum,
        torch.mul,
        torch.sub,
        lambda a, b: torch.where(a > 0, a, b),
        lambda a, b: torch.where(a > b, a, 0.0),
        lambda a, b: torch.addcmul(a, a, b, value=0.5),
        lambda a, b: a.masked_fill(b < 0, 0.1),
        lambda a, b: a / (b.square() + 1),
    )
    run = d.choice(runs)
    return Step(lambda m, x: run(m.a(x), m.b(x)), a=layer(d, x, width), b=layer(d, x, width))


@everywhere
def reduced_whole(d: Draw, x: Tensor) -> Step:
    runs = (
        lambda _, x: x / (1 + x.abs().mean()),
        lambda _, x: x - x.mean(),
        lambda _, x: x * x.max().sigmoid(),
        lambda _, x: x / (1 + x.norm()),
        lambda _, x: x / (1 + x.square().sum().sqrt()),
        lambda _, x: (x - x.min()) / (1 + x.std()),
    )
    return Step(d.choice(runs))


@everywhere
def reduced(d: Draw, x: Tensor) -> Step:
    dim = channel_dim(x)
    runs = (
        lambda _, x: x - x.mean(dim, keepdim=True),
        lambda _, x: x * x.amax(dim, keepdim=True).sigmoid(),
        lambda _, x: F.normalize(x + 0.1, dim=dim),
        lambda _, x: x.softmax(dim),
        lambda _, x: x.log_softmax(dim),
        lambda _, x: x / (x.var(dim, keepdim=True) + 1),
        lambda _, x: x * x.logsumexp(dim, keepdim=True).tanh(),
        lambda _, x: x + x.argmax(dim, keepdim=True) * 0.01,
    )
    return Step(d.choice(runs))


@everywhere
def active(d: Draw, x: Tensor) -> Step:
    modules = nn.ReLU(), nn.ELU(), nn.Hardswish(), nn.Softplus(), nn.PReLU(), nn.Dropout(0.2)
    many = (nn.PReLU(x.shape[1]),) if x.dim() != 3 else ()
    return Step(lambda m, x: m.f(x), f=d.choice(modules + many))


@everywhere
def half_product(d: Draw, x: Tensor) -> Step | None:
    """GLU over what comes, without a layer of its own."""
    dim = channel_dim(x)
    return Step(lambda _, x: F.glu(x, dim)) if x.shape[dim] % 2 == 0 else None


@everywhere
def twice(d: Draw, x: Tensor) -> Step:
    return Step(lambda m, x: m.f(m.f(x).relu()), f=layer(d, x, x.shape[channel_dim(x)]))


@everywhere
def channel_weights(d: Draw, x: Tensor) -> Step:
    runs = (
        lambda m, x: m.w * x,
        lambda m, x: x * m.w.softmax(0),
        lambda m, x: x * (m.w / m.w.sum()),
        lambda m, x: torch.addcmul(x, x, m.w),
        lambda m, x: torch.max(x, m.w),
    )
    return Step(d.choice(runs), w=d.parameter(*along(x)))
