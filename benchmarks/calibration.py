"""What does calibration cost? All criteria of ResNet-50 beside plain forward and backward passes.

    PYTHONPATH=. python benchmarks/calibration.py --images 256

Both go over the same images at 224x224, in turn, and the ratio of their times is printed: of the
criteria that share the passes (weights, feature maps, gradients, per-sample Fisher), and of those
that need more: ThiNet and LASSO (one Gram matrix of contributions), HRank, Hutchinson.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import prune_ops
import spaces
from prune_ops import CRITERIA
from spaces import Space

MORE = {
    "thinet and lasso": ("contributions",),
    "hrank": ("ranks",),
    "hutchinson": ("curvature",),
}
"""What is measured apart → the evidence it takes."""
Batch = tuple[Tensor, Tensor]


def main() -> None:
    args = _arguments()
    device = torch.device(args.device)
    torch.manual_seed(0)
    model = getattr(torchvision.models, args.model)().to(device).eval()
    side = args.side
    space = spaces.discover(model, (torch.zeros(1, 3, side, side, device=device),))
    images = torch.randn(args.images, 3, side, side, device=device)
    targets = torch.randint(1000, (args.images,), device=device)
    batches = list(zip(images.split(32), targets.split(32), strict=True))
    apart = {field for fields in MORE.values() for field in fields}
    shared = [c.name for c in CRITERIA.values() if not c.requires & apart]
    print(f"{args.model}, {args.images} images of {side}x{side}, {device}; {', '.join(shared)}")
    _compare("shared by all these", _scoring(model, space, batches, shared), model, batches, args)
    for name, fields in MORE.items() if args.more else ():
        names = [c.name for c in CRITERIA.values() if c.requires & set(fields)]
        _compare(name, _scoring(model, space, batches, names), model, batches, args)


def _scoring(
    model: nn.Module, space: Space, batches: Sequence[Batch], names: Sequence[str]
) -> Callable[[], object]:
    return lambda: prune_ops.score(model, space, batches, names)


def _compare(
    name: str,
    scoring: Callable[[], object],
    model: nn.Module,
    batches: Sequence[Batch],
    args: argparse.Namespace,
) -> None:
    ratios = []
    _seconds(lambda: _plain(model, batches[:1]), args.device)  # warm
    for _ in range(args.rounds):
        plain = _seconds(lambda: _plain(model, batches), args.device)
        scored = _seconds(scoring, args.device)
        ratios.append(scored / plain)
        print(f"  {name}: {scored:.1f} s against {plain:.1f} s plain: {ratios[-1]:.2f}", flush=True)
    middle = statistics.median(ratios)
    print(f"{name}: {middle:.2f} times ({min(ratios):.2f} to {max(ratios):.2f}, n {len(ratios)})")


def _plain(model: nn.Module, batches: Sequence[Batch]) -> None:
    for inputs, targets in batches:
        model.zero_grad(set_to_none=True)
        cross_entropy(model(inputs), targets).backward()


def _seconds(work: Callable[[], object], device: str) -> float:
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--more", action="store_true", help="the dearer criteria too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
