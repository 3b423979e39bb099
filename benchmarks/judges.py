"""Which surgery judges policies best, and at what cost?

    PYTHONPATH=. python benchmarks/judges.py CIFAR WEIGHTS

Takes the policies of equal FLOPs that `trust.py` drew and trained, prunes each by every surgery,
prepared once, and compares the pruned network's accuracy and loss on images held out from the
calibration with the accuracy that the policy had after training: Kendall's τ, with 95 % bootstrap
intervals over policies. The cost of a cut is its processor time in forward passes of the unpruned
network over the same images, batch after batch, on one thread, in the same run. Written is
``README.md``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cifar
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch import nn

import prune_ops
import spaces
from search.data.splits import Batch
from search.task.task import Task

SURGERIES = ("plain", "compensate", "reconstruct")
RESAMPLED = 2000


def main() -> None:
    parser = cifar.options(str(__doc__).splitlines()[0], "judges")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--criterion", default="obs", help="says which channels stay")
    parser.add_argument("--policies", default="benchmarks/results/trust/policies.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = cifar.task(args, args.model).to(torch.device("cpu"))
    space, calibration = spaces.discover(task.model, task.example), task.calibration()
    scores = prune_ops.score(task.model, space, calibration, [args.criterion])[args.criterion]
    rows = pd.read_csv(args.policies).query("seed == 0")
    policies = [
        space.policy(np.array([row[f"width:{group.name}"] for group in space.groups]))
        for row in rows.to_dict("records")
    ]
    held_out = task.held_out()
    unit = _seconds(lambda: _outputs(task.model, calibration))
    lines = []
    for name in SURGERIES:
        cut = prune_ops.pruner(task.model, space, name, calibration)
        judged = [_judged(partial(cut, policy, scores), held_out) for policy in policies]
        cost, accuracies, losses = zip(*judged, strict=True)
        by_accuracy, by_loss = (
            _interval(np.array(values), rows.test_accuracy.to_numpy())
            for values in (accuracies, [-loss for loss in losses])
        )
        lines.append(
            f"| {name} | {statistics.median(cost) / unit:.2f} | {by_accuracy} | {by_loss} |"
        )
    text = "\n".join(_text(task, args, len(policies), sum(len(y) for _, y in calibration), lines))
    print(text)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text)


def _judged(cut: Callable[[], nn.Module], held_out: Sequence[Batch]) -> tuple[float, float, float]:
    """Seconds of the cut, and the accuracy and loss of what it leaves."""
    started = time.process_time()
    small = cut()
    seconds = time.process_time() - started
    logits = torch.cat(_outputs(small, held_out))
    targets = torch.cat([targets for _, targets in held_out])
    accuracy = (logits.argmax(1) == targets).float().mean()
    return seconds, float(accuracy), float(F.cross_entropy(logits, targets))


@torch.no_grad()
def _outputs(model: nn.Module, batches: Sequence[Batch]) -> list[torch.Tensor]:
    return [model.eval()(images) for images, _ in batches]


def _seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """The median of a few calls, after one for warmth."""
    taken = []
    for _ in range(repeats + 1):
        started = time.process_time()
        call()
        taken.append(time.process_time() - started)
    return statistics.median(taken[1:])


def _interval(scores: np.ndarray, accuracy: np.ndarray) -> str:
    """τ with its 95 % bootstrap interval over policies."""
    rng, count = np.random.default_rng(0), len(scores)
    drawn = [rng.integers(count, size=count) for _ in range(RESAMPLED)]
    taus = [kendalltau(scores[index], accuracy[index]).statistic for index in drawn]
    low, high = np.nanquantile(taus, (0.025, 0.975))
    return f"{kendalltau(scores, accuracy).statistic:.2f} [{low:.2f}, {high:.2f}]"


def _text(
    task: Task, args: argparse.Namespace, policies: int, images: int, lines: Sequence[str]
) -> Iterator[str]:
    yield "# Which surgery judges policies best\n"
    yield (
        f"{args.model}, the {policies} policies of {args.policies}, channels by {args.criterion}, "
        f"{images} calibration images, {cifar.machine(task)}.\n"
    )
    yield "| surgery | a cut, in forward passes | τ of accuracy | τ of loss |"
    yield "| --- | ---: | ---: | ---: |"
    yield from (line.replace("-", "−") for line in lines)
    yield ""


if __name__ == "__main__":
    main()
