"""Does learning from the unpruned network pay? At equal widths, seeds and epochs or computation.

    PYTHONPATH=. python benchmarks/distillation.py CIFAR WEIGHTS --model resnet20b

Networks of equal widths, with and without repair, are trained as in `equal_terms.py`: one epoch;
one epoch distilled (KL divergence to the unpruned network's logits at temperature 4, 0.9 of the
loss); and without a teacher for as many epochs as take the computation of the distilled one. A step
costs three forward passes of the pruned network, a distilled one a forward pass of the unpruned one
besides. Gains are paired by seed. Written are ``trainings.csv`` (see `training_rows.py`) and
``README.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import fmean

import cifar
import pandas as pd
import torch
import training_rows
from equal_terms import OURS, uniform
from training_rows import DISTILLED, Contender, Trainings, Wanted

from results.intervals import half_width

PLAIN = "uniform · obs · plain"
NETWORKS = (PLAIN, "uniform · obs · reconstruct", "solved · obs · reconstruct")
CONTENDERS: dict[str, Contender] = OURS | {PLAIN: partial(uniform, "obs", "plain")}
CONTENDERS |= {name + DISTILLED: CONTENDERS[name] for name in NETWORKS}


def longer(share: float) -> int:
    """Epochs without a teacher for the computation of one with, to the nearest.

    >>> [longer(share) for share in (0.5, 0.3, 0.15)]
    [2, 2, 3]
    """
    return round(distilled_cost(share))


def distilled_cost(share: float) -> float:
    """What a distilled step takes, in steps without a teacher.

    >>> round(distilled_cost(0.5), 2)
    1.67
    """
    return 1 + 1 / (3 * share)


def main() -> None:
    parser = training_rows.options(str(__doc__).splitlines()[0], "distillation")
    parser.set_defaults(shares=[0.5, 0.3])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    bench = training_rows.of(args, CONTENDERS, validation_fraction=0.04)
    wanted: list[Wanted] = [
        each
        for share in args.shares
        for name in NETWORKS
        for each in ((share, name, 1), (share, name + DISTILLED, 1), (share, name, longer(share)))
    ]
    for row in bench.carry_out(wanted):
        print(*row.values(), flush=True)
    text = "\n".join(_text(bench, args.shares)) + "\n"
    (bench.folder / "README.md").write_text(text)
    print(text)


def _text(bench: Trainings, shares: list[float]) -> Iterator[str]:
    yield "# Distillation, measured\n"
    yield (
        f"{bench.network}, {len(bench.task.train):,} training images; "
        f"{cifar.machine(bench.task)}, trained in {bench.precision}. "
        f"{training_rows.in_words(bench)}. Gains are paired by seed, with 95 % intervals; costs "
        "are in steps of the fine-tuned network.\n"
    )
    yield "| at most | network | fine-tuned | distilled | cost | gain | fine-tuned longer | gain |"
    yield "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    rows = bench.table()
    rows = rows[rows.precision == bench.precision].set_index(["share", "contender", "epochs"])
    seeds = [f"seed {seed}" for seed in bench.seeds]
    for share in shares:
        for name in NETWORKS:
            short, taught, long = (
                rows.loc[(share, *each)]
                for each in ((name, 1), (name + DISTILLED, 1), (name, longer(share)))
            )
            cells = [cifar.mean_and_spread(row[seeds]) for row in (short, taught, long)]
            gains = [_gain(taught, other, seeds) for other in (short, long)]
            yield (
                f"| {share:.0%} | {name} | {cells[0]} | {cells[1]} | "
                f"{distilled_cost(short.flops):.1f} | {gains[0]} | "
                f"{cells[2]} ({longer(share)}) | {gains[1]} |"
            )


def _gain(one: pd.Series[float], other: pd.Series[float], seeds: list[str]) -> str:
    """Points by which one is above the other, with the interval of paired differences."""
    differences = [100 * (one[seed] - other[seed]) for seed in seeds]
    width = half_width(differences)
    return f"{fmean(differences):+.2f}" + ("" if width is None else f" ± {width:.2f}")


if __name__ == "__main__":
    main()
