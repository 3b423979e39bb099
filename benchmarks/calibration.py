"""What does calibration cost? All criteria of ResNet-50 beside plain forward and backward passes.

    PYTHONPATH=. python benchmarks/calibration.py --images 256

Both go over the same images at 224x224, in turn, and the ratio of their times is taken: of the
criteria that share the passes (weights, feature maps, gradients, per-sample Fisher), and, with
``--more``, of those that need more: ThiNet and LASSO (one Gram matrix of contributions), HRank,
Hutchinson. Written are ``calibration.csv`` and ``README.md``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import prune_ops
import spaces
from prune_ops import CRITERIA
from search.versions import commit
from spaces import Space

SHARED = "what share the passes"
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
    print(_settings(args), flush=True)
    rows: list[dict[str, object]] = []
    for name, criteria in _measured(args.more).items():
        scoring = _scoring(model, space, batches, criteria)
        rows += _compare(name, scoring, model, batches, args)
    _write(pd.DataFrame(rows), args)


def _measured(more: bool) -> dict[str, list[str]]:
    """What is measured together → the criteria."""
    apart = {field for fields in MORE.values() for field in fields}
    found = {SHARED: [c.name for c in CRITERIA.values() if not c.requires & apart]}
    for name, fields in MORE.items() if more else ():
        found[name] = [c.name for c in CRITERIA.values() if c.requires & set(fields)]
    return found


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
) -> Iterator[dict[str, object]]:
    _seconds(lambda: _plain(model, batches[:1]), args.device)  # warm
    for turn in range(args.rounds):
        plain = _seconds(lambda: _plain(model, batches), args.device)
        scored = _seconds(scoring, args.device)
        print(f"  {name}: {scored:.1f} s, plain {plain:.1f} s: {scored / plain:.2f}", flush=True)
        yield {"measured": name, "round": turn, "seconds": scored, "seconds_plain": plain}


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


def _write(rows: pd.DataFrame, args: argparse.Namespace) -> None:
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "calibration.csv", index=False)
    text = "\n".join(_text(rows.assign(times=rows.seconds / rows.seconds_plain), args))
    (out / "README.md").write_text(text)
    print(text)


def _text(rows: pd.DataFrame, args: argparse.Namespace) -> Iterator[str]:
    yield f"# The cost of calibration\n\n{_settings(args)}\n"
    yield "| criteria | times a plain forward and backward pass | lowest to highest, rounds |"
    yield "| --- | ---: | ---: |"
    for name, own in rows.groupby("measured", sort=False).times:
        criteria = ", ".join(_measured(True)[str(name)])
        spread = f"{own.min():.2f} to {own.max():.2f}, {len(own)}"
        yield f"| {name}: {criteria} | {own.median():.2f} | {spread} |"
    yield ""


def _settings(args: argparse.Namespace) -> str:
    device = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    return (
        f"{args.model}, {args.images} images of {args.side}x{args.side}, device {device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, commit {commit()}."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", default="benchmarks/results/calibration")
    parser.add_argument("--more", action="store_true", help="the dearer criteria too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
