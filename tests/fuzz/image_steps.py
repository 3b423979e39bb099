"""Operations on images (N, C, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.draw import Draw, Step, operation


@operation("image")
def conv(d: Draw, x: Tensor) -> Step:
    kernel, dilation = d.choice((1, 3, 3)), d.choice((1, 1, 2))
    reach = (kernel // 2) * dilation
    how = {"padding": d.choice((reach, "same")), "stride": 1}
    if x.shape[-1] >= 4 and d.often(0.3):
        how = {"padding": reach, "stride": 2}
    bias = d.often()
    conv = nn.Conv2d(x.shape[1], d.width(), kernel, dilation=dilation, bias=bias, **how)
    return Step(lambda m, x: F.relu(m.f(x)), f=conv)


@operation("image")
def conv_norm(d: Draw, x: Tensor) -> Step:
    width = d.width()
    conv = nn.Conv2d(x.shape[1], width, 3, padding=1, bias=False)
    return Step(lambda m, x: F.relu(m.norm(m.f(x))), f=conv, norm=nn.BatchNorm2d(width))


@operation("image")
def grouped(d: Draw, x: Tensor) -> Step | None:
    width = d.width()
    groups = d.divisor(x.shape[1], width)
    f = nn.Conv2d(x.shape[1], width, 3, padding=1, groups=groups)
    return Step(lambda m, x: m.f(x), f=f) if groups > 1 else None


@operation("image")
def depthwise(d: Draw, x: Tensor) -> Step:
    c = x.shape[1]
    f = nn.Conv2d(c, c * d.choice((1, 1, 2)), 3, padding=1, groups=c)
    return Step(lambda m, x: F.silu(m.f(x)), f=f)


@operation("image")
def transposed(d: Draw, x: Tensor) -> Step | None:
    width = d.width()
    groups = d.choice((1, d.divisor(x.shape[1], width)))
    if x.shape[-1] > 8:
        return None
    return Step(lambda m, x: m.f(x), f=nn.ConvTranspose2d(x.shape[1], width, 2, 2, groups=groups))


@operation("image")
def weight_normed(d: Draw, x: Tensor) -> Step:
    norm = d.choice((nn.utils.parametrizations.weight_norm, nn.utils.weight_norm))
    with_hooks = norm(nn.Conv2d(x.shape[1], d.width(), 3, padding=1))
    return Step(lambda m, x: m.f(x).relu(), f=with_hooks)


@operation("image")
def standardised(d: Draw, x: Tensor) -> Step:
    def run(m: Step, x: Tensor) -> Tensor:
        w = m.f.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 0.1)
        return F.conv2d(x, w, m.f.bias, padding=1)

    return Step(run, f=nn.Conv2d(x.shape[1], d.width(), 3, padding=1))


@operation("image")
def norm(d: Draw, x: Tensor) -> Step:
    c = x.shape[1]
    return Step(
        lambda m, x: m.norm(x),
        norm=d.choice(
            (
                nn.BatchNorm2d(c),
                nn.GroupNorm(d.divisor(c), c),
                nn.GroupNorm(1, c),
                nn.InstanceNorm2d(c, affine=True) if x.shape[-1] > 1 else nn.GroupNorm(1, c),
                nn.LayerNorm(x.shape[1:]),
                nn.BatchNorm2d(c, affine=False),
            )
        ),
    )


@operation("image")
def channels_last_norm(d: Draw, x: Tensor) -> Step:
    norm = d.choice((nn.LayerNorm, nn.RMSNorm))(x.shape[1])
    return Step(lambda m, x: m.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=norm)


@operation("image")
def squeeze_excite(d: Draw, x: Tensor) -> Step:
    c, inner = x.shape[1], d.width()
    return Step(
        lambda m, x: x * m.b(F.relu(m.a(F.adaptive_avg_pool2d(x, 1)))).sigmoid(),
        a=nn.Conv2d(c, inner, 1),
        b=nn.Conv2d(inner, c, 1),
    )


@operation("image")
def pooled(d: Draw, x: Tensor) -> Step | None:
    if x.shape[-1] < 4 or x.shape[-1] % 2:
        return None
    return d.choice(
        (
            Step(lambda _, x: F.max_pool2d(x, 2)),
            Step(lambda _, x: F.avg_pool2d(x, 2)),
            Step(lambda _, x: F.adaptive_max_pool2d(x, 2)),
            Step(lambda _, x: F.interpolate(x, scale_factor=0.5, mode="bilinear")),
            Step(lambda _, x: x[:, :, ::2, 1::2]),
        )
    )


@operation("image")
def pixel_shuffle(_: Draw, x: Tensor) -> Step | None:
    return Step(lambda _, x: F.pixel_shuffle(x, 2)) if x.shape[1] % 4 == 0 else None


@operation("image")
def pixel_unshuffle(_: Draw, x: Tensor) -> Step | None:
    fits = x.shape[-1] % 2 == 0 and x.shape[1] <= 16
    return Step(lambda _, x: F.pixel_unshuffle(x, 2)) if fits else None


@operation("image")
def channel_shuffle(d: Draw, x: Tensor) -> Step | None:
    groups = d.divisor(x.shape[1])

    def by_view(_: Step, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    if groups == 1:
        return None
    return d.choice((Step(by_view), Step(lambda _, x: F.channel_shuffle(x, groups))))


@operation("image")
def literal_view(d: Draw, x: Tensor) -> Step | None:
    _, c, h, w = x.shape
    parts = d.divisor(c)
    if parts == 1:
        return None
    return d.choice(
        (
            Step(lambda _, x: x.reshape(-1, parts, c // parts, h, w).sum(1)),
            Step(lambda _, x: x.reshape(len(x), parts, -1, h, w).mean(1)),
            Step(lambda _, x: x.reshape(-1, c // parts, parts, h, w).amax(2)),
            Step(lambda _, x: x.unflatten(1, (parts, -1)).flatten(1, 2)),
        )
    )


@operation("image")
def padded(d: Draw, x: Tensor) -> Step:
    extra = d.choice((1, 2, 4))
    stays = d.often()
    before = F.pad if stays else lambda x, by: F.pad(x, by[:4])
    conv = nn.Conv2d(x.shape[1], x.shape[1] + 2 * extra, 3, padding=1)
    pads = (0, 0, 0, 0, extra, extra)
    if stays:  # a shortcut with channels of zeros
        return Step(lambda m, x: before(x, pads) + m.f(x), f=conv)
    return Step(lambda m, x: F.pad(m.f(x), (1, 1, 1, 1), mode="replicate")[..., 1:-1, 1:-1], f=conv)


@operation("image")
def spatial_attention(d: Draw, x: Tensor) -> Step:
    def run(m: Step, x: Tensor) -> Tensor:
        q, k, v = (t.flatten(2) for t in m.qkv(x).chunk(3, 1))
        weights = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(-1)
        return m.out((v @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:]))

    inner = d.choice((4, 8, 16))
    qkv, out = nn.Conv2d(x.shape[1], 3 * inner, 1), nn.Conv2d(inner, d.width(), 1)
    return Step(run, qkv=qkv, out=out)


@operation("image")
def einsum_weight(d: Draw, x: Tensor) -> Step:
    w = d.parameter(x.shape[1], d.width())
    if d.often():
        return Step(lambda m, x: torch.einsum("nchw,cd->ndhw", x, m.w), w=w)
    return Step(lambda m, x: (x.permute(0, 2, 3, 1) @ m.w).permute(0, 3, 1, 2), w=w)
