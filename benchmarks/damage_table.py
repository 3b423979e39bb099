"""Does the damage table foresee what single cuts cost?  Against cuts that are made and measured.

    PYTHONPATH=. python benchmarks/damage_table.py CIFAR WEIGHTS --model resnet20b

Every group is cut alone to each of its measured widths, by obs, repaired by `compensate` from 256
training images, and the rise of the loss is measured on ``--held-out`` other ones. Set against it
are the table of sensitivity ``repaired_damage``, and the sum of `prune_ops.surgeon` alone, which
takes errors at all positions for independent. A table serves if the ratio to what is measured is
the same for all layers: its spread is the standard deviation of its logarithm, over cuts that raise
the loss by at least 0.01. Written are ``damages.csv`` and ``README.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cifar
import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau
from torch.nn.functional import cross_entropy

import prune_ops
import spaces
from prune_ops import surgeon
from prune_ops.sensitivities.sensitivity import measured_widths
from search.data.splits import Batch
from search.task.task import Task
from spaces import Policy, Space

TABLE = "repaired_damage"
LEAST = 0.01
"""Rises of the loss that are compared; smaller ones are mostly noise."""


def cuts(task: Task, space: Space, held_out: int) -> Iterator[dict[str, object]]:
    """One row for every group and width."""
    model, images = task.model, task.calibration()
    stats = prune_ops.statistics(model, space, images, ["obs", TABLE])
    scores = prune_ops.score(model, space, (), ["obs"], stats=stats)["obs"]
    table = prune_ops.measure(model, space, scores, (), [TABLE], stats=stats)[TABLE]
    cut = prune_ops.pruner(model, space, "compensate", images)
    batches = task.held_out(held_out)
    whole = loss(model, batches)
    for group in space.groups:
        alone = surgeon.removal(group, stats)
        for width in measured_widths(group):
            small = cut(Policy({**space.full, group.name: width}), scores)
            yield {
                "group": group.name,
                "channels": group.channels,
                "kept": width,
                "measured": loss(small, batches) - whole,
                TABLE: float(table[group.name][group.choices.index(width)]),
                "independent": float(alone.damages([width])[0]),
            }


@torch.inference_mode()
def loss(network: torch.nn.Module, batches: list[Batch]) -> float:
    """Mean cross-entropy in eval mode."""
    sums = [cross_entropy(network.eval()(x), y, reduction="sum") for x, y in batches]
    return float(torch.stack(sums).sum()) / sum(len(y) for _, y in batches)


def main() -> None:
    parser = cifar.options((__doc__ or "").partition("\n")[0], "damage_table")
    parser.add_argument("--model", default="resnet20b")
    parser.add_argument("--held-out", type=int, default=2000, help="images that measure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = cifar.task(args, args.model)
    rows = pd.DataFrame(cuts(task, spaces.discover(task.model, task.example), args.held_out))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "damages.csv", index=False, float_format="%.6g")
    (out / "README.md").write_text(readme(rows, task, args))
    print((out / "README.md").read_text())


def readme(rows: pd.DataFrame, task: Task, args: argparse.Namespace) -> str:
    """The figures, and the cut that each table rates worst."""
    seen = rows[rows["measured"] >= LEAST]
    lines = [
        "# The damage table against measured single cuts",
        "",
        f"{args.model}, {len(seen)} cuts of single groups that raise the loss by at least {LEAST} "
        f"({len(rows)} made); see `benchmarks/damage_table.py`. {cifar.machine(task)}.",
        "",
        "| table | spread of log ratio | least ratio | largest | Kendall τ with measured |",
        "|---|---|---|---|---|",
    ]
    for name in (TABLE, "independent"):
        ratio = seen[name] / seen["measured"]
        least, most = seen.loc[ratio.idxmin()], seen.loc[ratio.idxmax()]
        tau = kendalltau(seen[name], seen["measured"]).statistic
        low = f"{ratio.min():.3g} ({least['group']} at {least['kept']})"
        high = f"{ratio.max():.3g} ({most['group']} at {most['kept']})"
        lines.append(f"| {name} | {np.log(ratio).std():.2f} | {low} | {high} | {tau:.2f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
