"""Operations on sequences (N, L, C), and on vectors (N, C)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.draw import Draw, Step, operation


@operation("sequence", "vector")
def linear(d: Draw, x: Tensor) -> Step:
    f = nn.Linear(x.shape[-1], d.width(), bias=d.often(0.7))
    return Step(lambda m, x: F.gelu(m.f(x)), f=f)


@operation("sequence", "vector")
def mlp(d: Draw, x: Tensor) -> Step:
    c, inner = x.shape[-1], d.width()
    parts = {"norm": nn.LayerNorm(c), "up": nn.Linear(c, inner), "down": nn.Linear(inner, c)}
    return Step(lambda m, x: x + m.down(F.gelu(m.up(m.norm(x)))), **parts)


@operation("sequence", "vector")
def gated_mlp(d: Draw, x: Tensor) -> Step:
    c, inner = x.shape[-1], d.width()
    parts = {"both": nn.Linear(c, 2 * inner), "down": nn.Linear(inner, d.width())}
    if d.often():
        return Step(lambda m, x: m.down(F.glu(m.both(x), -1)), **parts)

    def run(m: Step, x: Tensor) -> Tensor:
        left, right = m.both(x).chunk(2, -1)
        return m.down(left * F.silu(right))

    return Step(run, **parts)


@operation("sequence", "vector")
def normed(d: Draw, x: Tensor) -> Step:
    c = x.shape[-1]
    if d.often(0.3):
        return Step(lambda _, x: F.layer_norm(x, x.shape[-1:]))
    return Step(lambda m, x: m.norm(x), norm=d.choice((nn.LayerNorm, nn.RMSNorm))(c))


@operation("sequence", "vector")
def weight_product(d: Draw, x: Tensor) -> Step:
    c, width = x.shape[-1], d.width()
    w, b = d.parameter(c, width), d.parameter(width)

    def flat(m: Step, x: Tensor) -> Tensor:
        return torch.addmm(m.b, x.reshape(-1, x.shape[-1]), m.w).view(*x.shape[:-1], -1)

    runs = (lambda m, x: x @ m.w + m.b, flat, lambda m, x: torch.matmul(x, m.w).add(m.b))
    return Step(d.choice(runs), w=w, b=b)


@operation("vector")
def batch_norm(_: Draw, x: Tensor) -> Step:
    return Step(lambda m, x: m.norm(x), norm=nn.BatchNorm1d(x.shape[-1]))


@operation("vector")
def bilinear(d: Draw, x: Tensor) -> Step | None:
    fits = x.shape[-1] <= 16
    return Step(lambda m, x: m.f(x, x), f=nn.Bilinear(*x.shape[-1:] * 2, 8)) if fits else None


@operation("vector")
def outer(_: Draw, x: Tensor) -> Step | None:
    fits = x.shape[-1] <= 8
    return Step(lambda _, x: (x.unsqueeze(2) * x.unsqueeze(1)).flatten(1)) if fits else None


@operation("sequence")
def attention(d: Draw, x: Tensor) -> Step | None:
    c = x.shape[-1]
    heads = d.divisor(c)
    f = nn.MultiheadAttention(c, heads, batch_first=True)
    weights = d.often()
    return Step(lambda m, x: x + m.f(x, x, x, need_weights=weights)[0], f=f)


@operation("sequence")
def own_attention(d: Draw, x: Tensor) -> Step | None:
    c, heads = x.shape[-1], d.divisor(x.shape[-1])
    literal = c // heads if d.often() else -1

    def run(m: Step, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        parts = m.qkv(x).chunk(3, -1)
        q, k, v = (p.view(n, length, heads, literal).transpose(1, 2) for p in parts)
        y = F.scaled_dot_product_attention(q, k, v)
        return m.out(y.transpose(1, 2).reshape(n, length, -1))

    return Step(run, qkv=nn.Linear(c, 3 * c), out=nn.Linear(c, d.width()))


@operation("sequence")
def encoder_layer(d: Draw, x: Tensor) -> Step | None:
    c = x.shape[-1]
    f = nn.TransformerEncoderLayer(c, d.divisor(c), d.width(), 0.1, batch_first=True)
    return Step(lambda m, x: m.f(x), f=f)


@operation("sequence")
def recurrent(d: Draw, x: Tensor) -> Step:
    kind = d.choice((nn.LSTM, nn.GRU, nn.RNN))
    f = kind(x.shape[-1], d.choice((4, 8, 12)), batch_first=True, bidirectional=d.often(0.3))
    return Step(lambda m, x: m.f(x)[0], f=f)


@operation("sequence")
def cells(d: Draw, x: Tensor) -> Step:
    kind, width = d.choice((nn.LSTMCell, nn.GRUCell, nn.RNNCell)), d.choice((4, 8, 12))

    def run(m: Step, x: Tensor) -> Tensor:
        state, found = None, []
        for position in x.unbind(1):
            state = m.f(position, state)
            found.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(found, 1)

    return Step(run, f=kind(x.shape[-1], width))


@operation("sequence")
def conv1d(d: Draw, x: Tensor) -> Step:
    width = d.width()
    parts = {"f": nn.Conv1d(x.shape[-1], width, 3, padding=1), "norm": nn.BatchNorm1d(width)}
    return Step(lambda m, x: m.norm(m.f(x.transpose(1, 2))).relu().transpose(1, 2), **parts)


@operation("sequence")
def positions(d: Draw, x: Tensor) -> Step:
    return Step(lambda m, x: x + m.p, p=d.parameter(1, *x.shape[1:]))


@operation("sequence")
def mixed_tokens(d: Draw, x: Tensor) -> Step:
    f = nn.Linear(x.shape[1], x.shape[1])
    return Step(lambda m, x: x + m.f(x.transpose(1, 2)).transpose(1, 2), f=f)


@operation("sequence")
def averaged_prefix(_: Draw, x: Tensor) -> Step:
    return Step(lambda _, x: torch.cat([x, x.mean(1, keepdim=True)], 1)[:, 1:])
