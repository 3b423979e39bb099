"""Pruning by another tool, to at most a share of the FLOPs: Torch-Pruning (``dev`` extra).

    PYTHONPATH=. python benchmarks/peers.py [--model resnet20b] [--shares 0.5 0.3 0.15]

As a script it prints which share every setting reaches, on fresh weights and random images.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.data.splits import Batch
from search.models import build, usual
from spaces import copied, fvcore_flops

CRITERIA: Mapping[str, tuple[str, dict[str, Any]]] = {
    "l1": ("GroupMagnitudeImportance", {"p": 1}),
    "l2": ("GroupMagnitudeImportance", {"p": 2}),
    "lamp": ("LAMPImportance", {"p": 2}),
    "bn_scale": ("BNScaleImportance", {}),
    "taylor": ("GroupTaylorImportance", {}),
    "hessian": ("GroupHessianImportance", {}),
}
"""Our name of a criterion → Torch-Pruning's class and arguments; all else is its default."""
SCOPES = ("uniform", "global")
"""The same ratio for every group, or channels of all groups in one ranking."""
STEPS = {"uniform": 1, "global": 20}
"""In so many a network is pruned. In a single one, groups that lie below the threshold of a global
ranking as a whole would be left out and stay whole."""
PROBES = 12
"""Ratios that are tried."""


def pruned_by_torch_pruning(
    model: nn.Module,
    example: tuple[Tensor, ...],
    criterion: str,
    scope: str,
    share: float,
    batches: Iterable[Batch] = (),
) -> nn.Module:
    """The largest copy found that has at most ``share`` of the FLOPs; ``model`` is left as it is.

    Bisection over the tool's pruning ratio; FLOPs are multiply-adds, as `Space.flops` counts them.
    The outputs of the last linear layer stay.

    Args:
        criterion: a name in ``CRITERIA``.
        scope: one of ``SCOPES``.
        batches: images and labels; read by ``taylor`` and ``hessian``.

    Raises:
        ValueError: no ratio that was tried leaves so few FLOPs, or there are no images for a
            criterion that needs them.
    """
    gradients = GRADIENTS.get(criterion, _none)(model, batches)
    limit = share * fvcore_flops(model, example)
    best: tuple[int, nn.Module] | None = None
    low, high = 0.0, 1.0
    for _ in range(PROBES):
        ratio = (low + high) / 2
        small = _pruned(model, example, criterion, scope, ratio, gradients)
        flops = fvcore_flops(small, example)
        if flops > limit:
            low = ratio
            continue
        high = ratio
        if best is None or flops > best[0]:
            best = flops, small
    if best is None:
        raise ValueError(f"{criterion}, {scope}: no ratio leaves {share:.1%} of the FLOPs or less")
    return best[1]


def _pruned(
    model: nn.Module,
    example: tuple[Tensor, ...],
    criterion: str,
    scope: str,
    ratio: float,
    gradients: Mapping[str, Tensor],
) -> nn.Module:
    import torch_pruning as tp

    small = copied(model).eval()
    for name, parameter in small.named_parameters():
        parameter.grad = gradients[name].clone() if name in gradients else None
    last = [module for module in small.modules() if isinstance(module, nn.Linear)][-1]
    name, arguments = CRITERIA[criterion]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = tp.pruner.BasePruner(
            small,
            example,
            getattr(tp.importance, name)(**arguments),
            global_pruning=scope == "global",
            pruning_ratio=ratio,
            iterative_steps=STEPS[scope],
            ignored_layers=[last],
            in_channel_groups={},  # its defaults are shared by all pruners of a process
            out_channel_groups={},
            num_heads={},
        )
        for _ in range(STEPS[scope]):
            pruner.step()
    small.zero_grad()
    return small


def _none(_model: nn.Module, _batches: Iterable[Batch]) -> dict[str, Tensor]:
    return {}


def _of_loss(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """The loss's gradients, as Torch-Pruning's Taylor criterion takes them."""
    return _summed(model, batches, torch.clone)


def _squared(model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Gradients of single images squared, the diagonal of the Fisher matrix.

    ``GroupHessianImportance`` takes it from ``.grad`` where its own ``accumulate_grad`` was not
    called, which in 1.6.1 keeps the last image's alone.
    """
    images = (
        (x[None], y[None])
        for inputs, targets in batches
        for x, y in zip(inputs, targets, strict=True)
    )
    return _summed(model, images, torch.square)


def _summed(
    model: nn.Module, batches: Iterable[Batch], of: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The sum over batches of a function of the gradients of a batch's mean loss, in eval mode."""
    own = copied(model).eval()
    parameters = dict(own.named_parameters())
    total: dict[str, Tensor] = {}
    for inputs, targets in batches:
        loss = F.cross_entropy(own(inputs), targets)
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] = total.get(name, 0) + of(gradient)
    if not total:
        raise ValueError("a criterion of gradients needs images, but got none")
    return total


GRADIENTS = {"taylor": _of_loss, "hessian": _squared}
"""What a criterion of gradients finds in ``.grad``."""


def main() -> None:
    """Print the share of the FLOPs that every setting reaches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20b")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.3, 0.15])
    parser.add_argument("--criteria", nargs="+", default=list(CRITERIA))
    parser.add_argument("--images", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    shape, classes = usual(args.model)
    model = build(args.model, classes, shape[0]).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # of equal scales none is the smallest
            nn.init.uniform_(module.weight, 0.5, 1.5)
    example = (torch.randn(1, *shape),)
    batches = [(torch.randn(args.images, *shape), torch.randint(classes, (args.images,)))]
    full = fvcore_flops(model, example)
    for criterion, scope, share in product(args.criteria, SCOPES, args.shares):
        start = time.perf_counter()
        small = pruned_by_torch_pruning(model, example, criterion, scope, share, batches)
        took = time.perf_counter() - start
        assert small(*example).shape == model(*example).shape
        reached = fvcore_flops(small, example) / full
        print(f"{criterion:9} {scope:8} {share:4.0%} {reached:7.2%} {took:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
