"""Networks as people write them by hand, for `coverage.py`: none comes from a library."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Built = tuple[nn.Module, Any]


class UNet(nn.Module):
    """Two levels, concatenated skips."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = _double(3, 32), _double(32, 64), _double(64, 128)
        self.up2, self.up1 = nn.ConvTranspose2d(128, 64, 2, 2), nn.ConvTranspose2d(64, 32, 2, 2)
        self.merge2, self.merge1 = _double(128, 64), _double(64, 32)
        self.head = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.middle(F.max_pool2d(b, 2))
        b = self.merge2(torch.cat([self.up2(c), b], 1))
        return self.head(self.merge1(torch.cat([self.up1(b), a], 1)))


def _double(inputs: int, outputs: int) -> nn.Sequential:
    one = nn.Conv2d(inputs, outputs, 3, padding=1)
    two = nn.Conv2d(outputs, outputs, 3, padding=1)
    return nn.Sequential(
        one, nn.BatchNorm2d(outputs), nn.ReLU(), two, nn.BatchNorm2d(outputs), nn.ReLU()
    )


class CausalSelfAttention(nn.Module):
    """As nanoGPT has it: fused qkv, widths kept as attributes."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.n_head, self.n_embd, self.fused = heads, width, fused
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("mask", torch.tril(torch.ones(32, 32)).view(1, 1, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q = q.view(b, t, self.n_head, c // self.n_head).transpose(1, 2)
        k = k.view(b, t, self.n_head, c // self.n_head).transpose(1, 2)
        v = v.view(b, t, self.n_head, c // self.n_head).transpose(1, 2)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
            scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).contiguous().view(b, t, c))


class NanoGPT(nn.Module):
    """Embeddings tied to the head."""

    def __init__(self, fused: bool = True, tied: bool = True) -> None:
        super().__init__()
        width = 64
        self.wte, self.wpe = nn.Embedding(128, width), nn.Embedding(32, width)
        self.attentions = nn.ModuleList(CausalSelfAttention(width, 4, fused) for _ in range(2))
        self.mlps = nn.ModuleList(_mlp(width, 4 * width) for _ in range(2))
        self.ln1, self.ln2 = (
            nn.ModuleList(nn.LayerNorm(width) for _ in range(2)) for _ in range(2)
        )
        self.last, self.head = nn.LayerNorm(width), nn.Linear(width, 128, bias=False)
        if tied:
            self.wte.weight = self.head.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for norm1, attention, norm2, mlp in zip(
            self.ln1, self.attentions, self.ln2, self.mlps, strict=True
        ):
            x = x + attention(norm1(x))
            x = x + mlp(norm2(x))
        return self.head(self.last(x))


def _mlp(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` over tokens, mean pooled."""

    def __init__(self, norm_first: bool = False) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, norm_first=norm_first)
        self.embed = nn.Embedding(100, 64)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(ids)).mean(1))


class Translator(nn.Module):
    """``nn.Transformer``, encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(100, 64), nn.Linear(64, 100)
        self.transformer = nn.Transformer(64, 4, 2, 2, 128, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.head(self.transformer(self.embed(source), self.embed(target)))


class Attention(nn.Module):
    """By hand: q, k and v apart, einops-like reshapes."""

    def __init__(self, width: int, heads: int, dim: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, dim**-0.5
        self.q, self.k, self.v = (nn.Linear(width, heads * dim, bias=False) for _ in range(3))
        self.out = nn.Linear(heads * dim, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        weights = (q @ k.mT * self.scale).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class SmallViT(nn.Module):
    """Patches, a class token, attention by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 64, 8, 8)
        self.token, self.position = (
            nn.Parameter(torch.randn(1, 1, 64)),
            nn.Parameter(torch.randn(1, 17, 64)),
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList((nn.LayerNorm(64), Attention(64, 4, 16), nn.LayerNorm(64), _mlp(64, 128)))
            for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        for norm1, attention, norm2, mlp in self.blocks:
            x = x + attention(norm1(x))
            x = x + mlp(norm2(x))
        return self.head(self.norm(x)[:, 0])


class Recurrent(nn.Module):
    """Tokens through two recurrent layers of a kind."""

    def __init__(self, kind: type[nn.RNNBase], bidirectional: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.rnn = kind(32, 64, 2, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(128 if bidirectional else 64, 10)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(ids))[0][:, -1])


class CRNN(nn.Module):
    """Convolutions, then an LSTM over columns: reading text."""

    def __init__(self) -> None:
        super().__init__()
        one, two = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        pool = nn.AdaptiveAvgPool2d((1, None))
        self.convs = nn.Sequential(
            one, nn.ReLU(), nn.MaxPool2d(2), two, nn.BatchNorm2d(64), nn.ReLU(), pool
        )
        self.rnn, self.head = nn.LSTM(64, 64, bidirectional=True), nn.Linear(128, 37)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.convs(x).squeeze(2).permute(2, 0, 1))[0])


class TCN(nn.Module):
    """Dilated convolutions with weight normalisation."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 32, 32, 64)
        self.convs = nn.ModuleList(
            parametrizations.weight_norm(nn.Conv1d(a, b, 3, padding=2**n, dilation=2**n))
            for n, (a, b) in enumerate(pairwise(widths))
        )
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.relu(conv(x))
        return self.head(x.mean(-1))


class Discriminator(nn.Module):
    """Convolutions with spectral normalisation."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128)
        self.convs = nn.ModuleList(
            parametrizations.spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(widths)
        )
        self.head = parametrizations.spectral_norm(nn.Linear(128, 1))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return self.head(x.mean((2, 3)))


class StandardConv(nn.Conv2d):
    """Its weight is standardised at every call."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        mean, std = w.mean((1, 2, 3), keepdim=True), w.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, (w - mean) / (std + 1e-5), self.bias, self.stride, self.padding)


class Standardised(nn.Module):
    """Standardised convolutions with GroupNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = StandardConv(3, 32, 3, padding=1), StandardConv(32, 64, 3, padding=1)
        self.na, self.nb = nn.GroupNorm(8, 32), nn.GroupNorm(8, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.na(self.a(x)))
        return self.head(F.relu(self.nb(self.b(x))).mean((2, 3)))


class Experts(nn.Module):
    """All experts run, and a softmax gate mixes them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Linear(16, 64), nn.Linear(64, 4)
        self.experts = nn.ModuleList(_mlp(64, 128) for _ in range(4))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        weights = self.gate(x).softmax(-1)
        mixed = torch.stack([expert(x) for expert in self.experts], 1)
        return self.head((weights.unsqueeze(-1) * mixed).sum(1))


class RoutedExperts(nn.Module):
    """Each item goes to its two best experts, whose weights are stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate, self.head = nn.Linear(16, 64), nn.Linear(64, 4), nn.Linear(64, 10)
        self.up, self.down = (
            nn.Parameter(torch.randn(4, 128, 64) / 8),
            nn.Parameter(torch.randn(4, 64, 128) / 8),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        best, where = self.gate(x).topk(2, -1)
        hidden = F.relu(torch.einsum("bd,bkhd->bkh", x, self.up[where]))
        out = torch.einsum("bkh,bkdh->bkd", hidden, self.down[where])
        return self.head((best.softmax(-1).unsqueeze(-1) * out).sum(1))


class SqueezeExcite(nn.Module):
    """Residual blocks with squeeze-and-excitation and a learnt scale each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(3))
        self.squeeze = nn.ModuleList(nn.Conv2d(32, 8, 1) for _ in range(3))
        self.excite = nn.ModuleList(nn.Conv2d(8, 32, 1) for _ in range(3))
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(3))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for conv, squeeze, excite, scale in zip(
            self.convs, self.squeeze, self.excite, self.scales, strict=True
        ):
            y = F.relu(conv(x))
            gate = excite(F.relu(squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
            x = x + scale * (y * gate)
        return self.head(x.mean((2, 3)))


class Autoencoder(nn.Module):
    """Variational, decoder by transposed convolutions; a view with a literal."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mean, self.spread = nn.Linear(64 * 49, 16), nn.Linear(64 * 49, 16)
        self.up = nn.Linear(16, 64 * 49)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        z = self.mean(h) + torch.exp(0.5 * self.spread(h)) * 0.1
        return self.decoder(F.relu(self.up(z)).view(-1, 64, 7, 7))


class Generator(nn.Module):
    """DCGAN's."""

    def __init__(self) -> None:
        super().__init__()
        widths = (128, 64, 32)
        layers: list[nn.Module] = [nn.ConvTranspose2d(16, 128, 4), nn.BatchNorm2d(128), nn.ReLU()]
        for a, b in pairwise(widths):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class SuperResolution(nn.Module):
    """Residual blocks and pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(32, 32, 3, padding=1), nn.PReLU(), nn.Conv2d(32, 32, 3, padding=1)
            )
            for _ in range(3)
        )
        self.up, self.last = nn.Conv2d(32, 128, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + 0.1 * block(x)
        return self.last(F.pixel_shuffle(self.up(x), 2))


class PointNet(nn.Module):
    """Shared MLPs over points, maximum over them, a learnt 3×3 transform."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            nn.Conv1d(3, 64, 1), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(64, 9)
        )
        self.a, self.b = nn.Conv1d(3, 64, 1), nn.Conv1d(64, 128, 1)
        self.norm, self.head = nn.BatchNorm1d(64), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.bmm(self.transform(x).view(-1, 3, 3), x)
        return self.head(self.b(F.relu(self.norm(self.a(x)))).amax(-1))


class GraphConv(nn.Module):
    """Two graph convolutions over a dense adjacency that is an input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = F.relu(adjacency @ self.a(x))
        return self.head(F.relu(adjacency @ self.b(x)).mean(1))


class Mixer(nn.Module):
    """MLPs over tokens and over channels, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 64, 8, 8)
        self.tokens = nn.ModuleList(_mlp(16, 32) for _ in range(2))
        self.channels = nn.ModuleList(_mlp(64, 128) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(64) for _ in range(4))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for n in range(2):
            x = x + self.tokens[n](self.norms[2 * n](x).transpose(1, 2)).transpose(1, 2)
            x = x + self.channels[n](self.norms[2 * n + 1](x))
        return self.head(x.mean(1))


class WaveNet(nn.Module):
    """Gated dilated convolutions, skips added up."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 32, 1)
        self.gates = nn.ModuleList(
            nn.Conv1d(32, 64, 2, dilation=2**n, padding=2**n) for n in range(4)
        )
        self.residual = nn.ModuleList(nn.Conv1d(32, 32, 1) for _ in range(4))
        self.skip = nn.ModuleList(nn.Conv1d(32, 48, 1) for _ in range(4))
        self.last = nn.Conv1d(48, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.first(x), torch.zeros(1)
        for gate, residual, skip in zip(self.gates, self.residual, self.skip, strict=True):
            a, b = gate(x)[..., : x.shape[-1]].chunk(2, 1)
            h = a.tanh() * b.sigmoid()
            x, total = x + residual(h), total + skip(h)
        return self.last(F.relu(total))


class TwoTower(nn.Module):
    """Query and key towers of one encoder; scores are products of their outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = (F.normalize(self.encoder(x), dim=-1) for x in (a, b))
        return self.temperature.exp() * (a * b).sum(-1)


class Recommender(nn.Module):
    """Wide and deep: embeddings of several fields, concatenated, with products of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = nn.ModuleList(nn.Embedding(50, 16) for _ in range(4))
        self.deep = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )

    def forward(self, ids: Tensor) -> Tensor:
        vectors = torch.stack([field(ids[:, n]) for n, field in enumerate(self.fields)], 1)
        pairs = torch.bmm(vectors, vectors.mT)
        return self.deep(vectors.flatten(1)) + pairs.sum((1, 2)).unsqueeze(-1)


class Dueling(nn.Module):
    """DQN with a value and an advantage stream; a view by batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU()
        )
        self.value = nn.Sequential(nn.Linear(64 * 81, 64), nn.ReLU(), nn.Linear(64, 1))
        self.advantage = nn.Sequential(nn.Linear(64 * 81, 64), nn.ReLU(), nn.Linear(64, 6))

    def forward(self, x: Tensor) -> Tensor:
        h = self.convs(x).view(x.size(0), -1)
        a = self.advantage(h)
        return self.value(h) + a - a.mean(1, keepdim=True)


class ConvLSTM(nn.Module):
    """One ConvLSTM cell over four frames, gates from one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = 32
        self.gates, self.head = nn.Conv2d(3 + 32, 4 * 32, 3, padding=1), nn.Conv2d(32, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _, h, w = x.shape
        state = x.new_zeros(b, self.hidden, h, w)
        cell = x.new_zeros(b, self.hidden, h, w)
        for n in range(t):
            i, f, o, g = self.gates(torch.cat([x[:, n], state], 1)).chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
        return self.head(state)


class SelfAttention2d(nn.Module):
    """SAGAN's: attention over positions, with a learnt gain that begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.f, self.g, self.h = nn.Conv2d(64, 8, 1), nn.Conv2d(64, 8, 1), nn.Conv2d(64, 64, 1)
        self.gamma, self.head = nn.Parameter(torch.zeros(1)), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        b, c, h, w = x.size()
        f, g, v = (layer(x).view(b, -1, h * w) for layer in (self.f, self.g, self.h))
        attention = torch.bmm(f.transpose(1, 2), g).softmax(-1)
        y = torch.bmm(v, attention.transpose(1, 2)).view(b, c, h, w)
        return self.head((self.gamma * y + x).mean((2, 3)))


class FeaturePyramid(nn.Module):
    """Lateral and top-down paths; three heads of shared weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList((_strided(3, 32), _strided(32, 64), _strided(64, 128)))
        self.laterals = nn.ModuleList(nn.Conv2d(c, 48, 1) for c in (32, 64, 128))
        self.tower = nn.Sequential(nn.Conv2d(48, 48, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(48, 9, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        maps = [lateral(f) for lateral, f in zip(self.laterals, found, strict=True)]
        for n in (1, 0):
            maps[n] = maps[n] + F.interpolate(maps[n + 1], size=maps[n].shape[-2:])
        return [self.head(self.tower(m)) for m in maps]


def _strided(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, 2, 1)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.SiLU())


class Diffusion(nn.Module):
    """A denoiser: sinusoidal time embedding, scale and shift of GroupNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 128))
        self.first, self.second = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)
        self.norm, self.last = nn.GroupNorm(8, 64), nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        rates = torch.exp(torch.arange(16) * -0.5)
        angles = t[:, None] * rates
        scale, shift = self.time(torch.cat([angles.sin(), angles.cos()], 1)).chunk(2, 1)
        h = F.silu(self.norm(self.first(x))) * (1 + scale[..., None, None]) + shift[..., None, None]
        return self.last(F.silu(self.second(h)) + self.first(x))


def _ids(length: int = 16) -> Tensor:
    return torch.randint(0, 100, (1, length))


NETWORKS: dict[str, Callable[[], Built]] = {
    "U-Net": lambda: (UNet(), (torch.randn(1, 3, 32, 32),)),
    "nanoGPT": lambda: (NanoGPT(), (_ids(),)),
    "nanoGPT unfused": lambda: (NanoGPT(fused=False), (_ids(),)),
    "nanoGPT untied": lambda: (NanoGPT(tied=False), (_ids(),)),
    "nn.TransformerEncoder": lambda: (Encoder(), (_ids(),)),
    "nn.TransformerEncoder norm first": lambda: (Encoder(norm_first=True), (_ids(),)),
    "nn.Transformer": lambda: (Translator(), (_ids(), _ids(8))),
    "ViT by hand": lambda: (SmallViT(), (torch.randn(1, 3, 32, 32),)),
    "LSTM": lambda: (Recurrent(nn.LSTM), (_ids(),)),
    "GRU": lambda: (Recurrent(nn.GRU), (_ids(),)),
    "RNN": lambda: (Recurrent(nn.RNN), (_ids(),)),
    "LSTM both ways": lambda: (Recurrent(nn.LSTM, bidirectional=True), (_ids(),)),
    "CRNN": lambda: (CRNN(), (torch.randn(1, 1, 16, 64),)),
    "TCN, weight norm": lambda: (TCN(), (torch.randn(1, 8, 64),)),
    "discriminator, spectral norm": lambda: (Discriminator(), (torch.randn(1, 3, 32, 32),)),
    "standardised convolutions": lambda: (Standardised(), (torch.randn(1, 3, 16, 16),)),
    "mixture of experts, dense": lambda: (Experts(), (torch.randn(1, 16),)),
    "mixture of experts, routed": lambda: (RoutedExperts(), (torch.randn(1, 16),)),
    "squeeze and excitation": lambda: (SqueezeExcite(), (torch.randn(1, 3, 16, 16),)),
    "variational autoencoder": lambda: (Autoencoder(), (torch.randn(1, 1, 28, 28),)),
    "DCGAN generator": lambda: (Generator(), (torch.randn(1, 16, 1, 1),)),
    "super-resolution": lambda: (SuperResolution(), (torch.randn(1, 3, 16, 16),)),
    "PointNet": lambda: (PointNet(), (torch.randn(1, 3, 64),)),
    "graph convolution": lambda: (GraphConv(), (torch.randn(1, 20, 16), torch.rand(1, 20, 20))),
    "MLP-Mixer": lambda: (Mixer(), (torch.randn(1, 3, 32, 32),)),
    "WaveNet": lambda: (WaveNet(), (torch.randn(1, 1, 64),)),
    "two towers": lambda: (TwoTower(), (torch.randn(1, 32), torch.randn(1, 32))),
    "recommender": lambda: (Recommender(), (torch.randint(0, 50, (1, 4)),)),
    "dueling DQN": lambda: (Dueling(), (torch.randn(1, 4, 84, 84),)),
    "ConvLSTM": lambda: (ConvLSTM(), (torch.randn(1, 4, 3, 16, 16),)),
    "self-attention GAN": lambda: (SelfAttention2d(), (torch.randn(1, 3, 16, 16),)),
    "feature pyramid": lambda: (FeaturePyramid(), (torch.randn(1, 3, 64, 64),)),
    "diffusion denoiser": lambda: (Diffusion(), (torch.randn(1, 3, 16, 16), torch.ones(1))),
}
"""Name → builds the network and what it is called with."""
