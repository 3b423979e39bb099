"""Predicted against measured time of a forward pass, for random widths of three networks.

The tables of each network's layers are measured as a search with `--budget 12ms` does it; then the
times of other networks, with random widths, are predicted and measured, in the same turns:

    python benchmarks/latency.py --out benchmarks/results/latency

Nothing else should run meanwhile. With the defaults it takes five to eight minutes on two cores.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

import spaces
from results.latency import LatencyRecord
from search.latency.measuring import measured
from search.versions import commit


class UNet(nn.Module):
    """Three levels that halve the image, joined by concatenation (Ronneberger et al. 2015)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [_block(i, o) for i, o in ((3, width), (width, 2 * width), (2 * width, 4 * width))]
        )
        self.bottom = _block(4 * width, 8 * width)
        self.up = nn.ModuleList(
            [
                _block(i, o)
                for i, o in ((12 * width, 4 * width), (6 * width, 2 * width), (3 * width, width))
            ]
        )
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, 2, H, W)``."""
        kept = []
        for block in self.down:
            kept.append(x := block(x))
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for block, skip in zip(self.up, reversed(kept), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([skip, x], 1))
        out: Tensor = self.out(x)
        return out


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, o in ((inputs, outputs), (outputs, outputs)):
        layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": lambda: torchvision.models.resnet18(),
    "MobileNetV2": lambda: torchvision.models.mobilenet_v2(),
    "U-Net": UNet,
}


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=[*NETWORKS], choices=[*NETWORKS])
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--policies", type=int, default=30, help="random ones of each network")
    parser.add_argument("--seconds", type=float, default=120.0, help="of passes of each network")
    parser.add_argument("--out", default="benchmarks/results/latency")
    args = parser.parse_args()
    found = {name: tables(NETWORKS[name](), args) for name in args.networks}
    text = "\n".join(report(found, args))
    print(text)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text + "\n")


def tables(model: nn.Module, args: argparse.Namespace) -> LatencyRecord:
    """The tables of one network, and what they say of random ones of it."""
    torch.manual_seed(0)
    model = model.to(args.device).eval()
    example = torch.randn(1, 3, args.size, args.size, device=args.device)
    space = spaces.discover(model, example)
    return measured(model, space, args.batch, args.seconds, args.policies)


def report(found: dict[str, LatencyRecord], args: argparse.Namespace) -> Iterator[str]:
    """Markdown, line by line."""
    yield "# Predicted and measured time of a forward pass"
    yield ""
    about = next(iter(found.values()))
    threads = f"{about.threads} thread{'s' * (about.threads != 1)}"
    yield (
        f"Batches of {args.batch} on {about.device} ({platform.machine()}, {threads}), images of "
        f"{args.size} × {args.size} pixels, torch {torch.__version__}, commit {commit() or '-'}. "
        f"`python benchmarks/latency.py --size {args.size} --batch {args.batch} --policies "
        f"{args.policies} --seconds {args.seconds:g}`"
    )
    yield ""
    yield (
        "The tables of a network come from so many networks of other widths; the random ones, on "
        "which they are checked, are none of those. The spread is the middle half of the passes "
        "of one network, as a share of their median: where it is above 10 % the machine was too "
        "noisy to say."
    )
    yield ""
    yield "| network | for the tables | turns | spread | checked on | median error | Kendall τ |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for name, each in found.items():
        yield (
            f"| {name} | {each.networks} | {each.turns} | {each.spread:.1%} | {len(each.checks)} | "
            f"{each.error:.1%} | {each.kendall:.3f} |"
        )
    for name, each in found.items():
        yield from ("", f"## {name}", "")
        yield from ("| predicted, ms | measured, ms | error |", "|--:|--:|--:|")
        yield from _rows(each.checks)


def _rows(checks: Sequence[Sequence[int]]) -> Iterator[str]:
    for predicted, true in sorted(checks, key=lambda pair: pair[1]):
        share = predicted / true - 1.0
        yield f"| {predicted / 1e6:.3f} | {true / 1e6:.3f} | {share:+.1%} |"


if __name__ == "__main__":
    main()
