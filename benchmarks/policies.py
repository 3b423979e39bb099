"""Counting, projecting and discovering, beside Torch-Pruning + fvcore doing it for one candidate.

    python benchmarks/policies.py [--model resnet50] [--image-size 224]

Needs the ``dev`` extra. One core, one process, both tools in the same run; the ratio is the result,
the times are those of this machine.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

import spaces


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median wall seconds of one call, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def torch_pruning_candidate(model: nn.Module, inputs: tuple[torch.Tensor]) -> int:
    """Prune one candidate with Torch-Pruning and count it with fvcore."""
    import copy

    import torch_pruning as tp

    candidate = copy.deepcopy(model)
    last = [m for m in candidate.modules() if isinstance(m, nn.Linear)][-1]
    importance = tp.importance.MagnitudeImportance(p=1)
    tp.pruner.MagnitudePruner(
        candidate, inputs, importance, pruning_ratio=0.5, ignored_layers=[last]
    ).step()
    return spaces.fvcore_flops(candidate, inputs)


def main() -> None:
    """Print the four figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--image-size", type=int, default=224)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torchvision.models.get_model(options.model, weights=None).eval()
    inputs = (torch.randn(1, 3, options.image_size, options.image_size),)

    start = time.perf_counter()
    space = spaces.discover(model, inputs)
    discovery = time.perf_counter() - start
    rng = np.random.default_rng(0)
    widths = rng.integers(1, space.lattice.top.astype(int) + 1, (8192, len(space.groups)))
    count = seconds(lambda: space.flops(widths), 20) / len(widths)
    proposals = iter(rng.uniform(1, space.lattice.top, (100_000, len(space.groups))))
    projection = seconds(lambda: space.project(next(proposals), 0.5), 500)
    selection = {g.name: np.arange(g.channels // 2) for g in space.groups}
    cut = seconds(lambda: spaces.slice_model(model, space, selection), 5)
    other = seconds(lambda: torch_pruning_candidate(model, inputs), 3)

    print(f"{options.model} at {options.image_size}², {len(space.groups)} groups, one thread")
    print(f"discovery, self-check included   {discovery:8.2f} s")
    print(f"policies counted                 {1 / count:8,.0f} a second")
    print(f"one projection                   {projection * 1e3:8.2f} ms")
    print(f"one candidate sliced             {cut * 1e3:8.1f} ms")
    print(f"Torch-Pruning + fvcore, one      {other * 1e3:8.1f} ms")
    print(f"ratio, count one policy          {other / count:8,.0f} ×")
    print(f"ratio, project and slice one     {other / (projection + cut):8,.1f} ×")


if __name__ == "__main__":
    main()
