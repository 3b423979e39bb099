"""What surgery `reconstruct` costs, in forward passes of the unpruned network.

Prints the processor time of a plain cut, of `reconstruct` from the beginning, of its preparation
and of a cut by the prepared one, and of a cut by the prepared `compensate`, which solves from
moments that are measured once. Each is divided by that of one forward pass over the same images,
all on the CPU with one thread, in one run:

    python benchmarks/repair_cost.py CIFAR/ resnet20.pt --out benchmarks/results/repair_cost

Two forward passes are measured, batch after batch and all images at once. The latter is slower for
the memory that it takes; surgery measures the unpruned network in batches, but passes all images
through the pruned network at once, as each layer is solved from all of them.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cifar
import torch
from torch import nn

import prune_ops
import spaces
from prune_ops.batches import Pair
from search.versions import commit

IMAGES = 512
BUDGETS = (0.3, 0.5, 0.7)


def main() -> None:
    """Print the table and write it."""
    parser = cifar.options(str(__doc__).splitlines()[0], "repair_cost")
    parser.add_argument("--model", default="resnet20", help="the architecture of the weights")
    parser.add_argument("--repeats", type=int, default=9, help="timings of each, in turns")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = cifar.task(args, args.model).to(torch.device("cpu"))
    text = report(task.model.eval(), task.calibration(IMAGES), args.model, args.repeats)
    print(text)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text)


def report(model: nn.Module, batches: list[Pair], name: str, repeats: int) -> str:
    """The table, and with what it was measured."""
    space = spaces.discover(model, (batches[0][0][:1],))
    scores = prune_ops.score(model, space, [], ["l2"])["l2"]
    rows = [
        f"| {budget:.0%} | " + " | ".join(cells) + " |"
        for budget in BUDGETS
        for cells in row(model, space, space.uniform(budget), scores, batches, repeats)
    ]
    images = sum(len(inputs) for inputs, _ in batches)
    return "\n".join(
        [
            f"{name}, {images} images in batches of {len(batches[0][0])}, uniform widths, median "
            f"of {repeats} timings in turns (time.process_time), one thread, seed 0; device "
            f"{platform.processor() or 'CPU'}, torch {torch.__version__}, commit {commit()}.",
            "",
            "| FLOPs | unit: a forward pass | seconds | plain cut | reconstruct, cold | "
            "its preparation | reconstruct, prepared | compensate, prepared |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def row(
    model: nn.Module,
    space: spaces.Space,
    policy: spaces.Policy,
    scores: prune_ops.Scores,
    batches: list[Pair],
    repeats: int,
) -> list[list[str]]:
    """The cells of one budget, once for each way to pass forward."""
    whole = torch.cat([inputs for inputs, _ in batches])
    prepared, cached = (
        prune_ops.pruner(model, space, surgery, batches)
        for surgery in ("reconstruct", "compensate")
    )
    seconds = medians(
        [
            lambda: passed(model, [inputs for inputs, _ in batches]),
            lambda: passed(model, [whole]),
            lambda: prune_ops.prune(model, space, policy, scores),
            lambda: prune_ops.prune(model, space, policy, scores, "reconstruct", batches),
            lambda: prune_ops.pruner(model, space, "reconstruct", batches),
            lambda: prepared(policy, scores),
            lambda: cached(policy, scores),
        ],
        repeats,
    )
    units = zip(("in batches", "all images at once"), seconds, strict=False)
    return [
        [name, f"{unit:.2f}", *(f"{value / unit:.2f}" for value in seconds[2:])]
        for name, unit in units
    ]


@torch.no_grad()
def passed(model: nn.Module, inputs: list[torch.Tensor]) -> None:
    """A forward pass over all inputs."""
    for images in inputs:
        model(images)


def medians(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """The median processor time of each call, in seconds; they take turns, after one for warmth."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats + 1):
        for call, times in zip(calls, taken, strict=True):
            started = time.process_time()
            call()
            times.append(time.process_time() - started)
    return [statistics.median(times[1:]) for times in taken]


if __name__ == "__main__":
    main()
