"""Which sampler finds good widths in few judgements?  A benchmark of samplers alone.

    PYTHONPATH=. python benchmarks/search_quality.py digits_small digits
    PYTHONPATH=. python benchmarks/search_quality.py resnet20b imagefolder:CIFAR --weights WEIGHTS

Every sampler proposes policies to a search that judges each by its repaired loss: channels by obs,
surgery reconstruct on 256 training images, loss on at most ``--held-out`` other ones, no training.
Without weights the unpruned network is trained first, as a search does it. All begin with the same
starts: uniform widths and the pool solved from the damage table. Each search is one row of
``searches.csv`` in ``--out``, with the lowest loss after 20, 40, 60, 100 and 200 judgements; none
that is there is made again. A policy is judged once for all searches of a call. Written are
``searches.csv`` and ``README.md``: for each sampler the mean over seeds.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cifar
import numpy as np
import optuna
import pandas as pd
import torch
from optuna import samplers

import prune_ops
import search
import spaces
from prune_ops.running import evaluate_loss
from prune_ops.sensitivities.repaired_damage import terms
from results.record import TrialRecord
from results.store import RECORD
from search.policies import SAMPLERS
from search.policies.parameters import distributions
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import starts
from search.policies.surrogate import TABLE, Tables
from search.task.task import Task
from spaces import Budget, Policy, Space

AT = (20, 40, 60, 100, 200)
"""Judgements after which the best is noted."""
PROXY = "reconstructed"
TPE = "tpe, univariate"
"""Optuna's own default for several objectives; ours is multivariate."""
USUAL = {"surrogate": 60, "tpe": 200, TPE: 200, "gp": 60, "nsga2": 200, "random": 200}
"""Samplers, and how many judgements they have."""


@dataclass
class Judge:
    """Repaired losses of policies, each measured once."""

    task: Task
    space: Space
    held_out: int
    known: dict[Policy, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        model, images = self.task.model, self.task.calibration()
        stats = prune_ops.statistics(model, self.space, images, ["obs", TABLE])
        self.scores = prune_ops.score(model, self.space, (), ["obs"], stats=stats)["obs"]
        found = prune_ops.measure(model, self.space, self.scores, (), [TABLE], stats=stats)
        self.damages = found[TABLE]
        self._cut = prune_ops.pruner(model, self.space, "reconstruct", images)
        self._batches = self.task.held_out(self.held_out)

    @torch.inference_mode()
    def loss(self, policy: Policy) -> float:
        """That of the task right after repair."""
        if policy not in self.known:
            network = self._cut(policy, self.scores).eval()
            losses = [evaluate_loss(self.task.loss, network(x), y) for x, y in self._batches]
            images = np.array([len(y) for _, y in self._batches])
            self.known[policy] = float(torch.stack(losses).numpy() @ images / images.sum())
        return self.known[policy]


def searched(judge: Judge, name: str, seed: int, judgements: int, budget: Budget) -> list[float]:
    """The loss of every policy in the order of the search."""
    space = judge.space
    tables = Tables(space, terms(space, judge.damages), (budget,), PROXY)
    sampler = BudgetSampler(_inner(name, seed, judgements, tables), space, [budget], seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for start in starts(space, {TABLE: judge.damages}, [budget]):
        study.enqueue_trial(start.params)
    losses = []
    for number in range(judgements):
        trial = study.ask({**distributions(space)})
        policy = Policy(trial.params)
        losses.append(judge.loss(policy))
        flops = space.flops(policy)
        record = TrialRecord(number, policy, name, flops, 0.0, 0, {PROXY: -losses[-1]})
        trial.set_user_attr(RECORD, record.to_json())
        study.tell(trial, (-losses[-1], float(flops)))
    return losses


def _inner(
    name: str, seed: int, judgements: int, tables: Tables
) -> Callable[[int], optuna.samplers.BaseSampler]:
    if name == TPE:
        return lambda number: samplers.TPESampler(seed=seed * 10_000 + number)
    return make(name, Plan(seed, judgements, tables=tables))


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = search.build_task(
        args.model, args.data, weights=args.weights, cache=Path(args.runs) / ".cache"
    )
    judge = Judge(task, spaces.discover(task.model, task.example), args.held_out)
    path = Path(args.out) / "searches.csv"
    done = _rows(path)
    for seed in range(args.seeds):
        for name in args.samplers:
            key = {"network": args.model, "share": args.share, "sampler": name, "seed": seed}
            if not done.empty and (done[list(key)] == list(key.values())).all(axis=1).any():
                continue
            losses = searched(judge, name, seed, USUAL[name], Budget.parse(str(args.share)))
            best = np.minimum.accumulate(losses)
            row = key | {f"best@{n}": best[n - 1] if n <= len(best) else "" for n in AT}
            row |= {"uniform": losses[0]}
            _append(path, row)
            print(*row.values(), flush=True)
    Path(args.out, "README.md").write_text(_readme(_rows(path), task, args))
    print(Path(args.out, "README.md").read_text())


def _rows(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def _append(path: Path, row: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _readme(rows: pd.DataFrame, task: Task, args: argparse.Namespace) -> str:
    """A table of means and standard deviations over seeds."""
    columns = [f"best@{n}" for n in AT]
    lines = [
        "# Samplers, by what they find in few judgements",
        "",
        "The lowest repaired loss (see `benchmarks/search_quality.py`) on "
        f"at most {args.held_out} held-out training images; mean ± standard deviation over seeds. "
        f"{cifar.machine(task)}.",
        "",
        f"| network | share | sampler | seeds | uniform | {' | '.join(columns)} |",
        f"|---|---|---|---|---|{'---|' * len(columns)}",
    ]
    for (network, share, name), own in rows.groupby(["network", "share", "sampler"], sort=False):
        cells = [
            "–" if own[c].isna().any() else f"{own[c].mean():.3f} ± {own[c].std():.3f}"
            for c in columns
        ]
        uniform = f"{own['uniform'].mean():.3f}"
        lines.append(
            f"| {network} | {share} | {name} | {len(own)} | {uniform} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=str(__doc__).partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("model", help="of search.models")
    parser.add_argument("data", help="of search.data: digits, imagefolder:CIFAR ...")
    parser.add_argument("--weights", help="state_dict of the unpruned network")
    parser.add_argument("--out", default="benchmarks/results/search_quality", help="for the tables")
    parser.add_argument("--runs", default="runs", help="what is kept between calls")
    parser.add_argument("--share", type=float, default=0.3, help="of the FLOPs, at most")
    parser.add_argument("--samplers", nargs="+", default=list(USUAL), choices=[*SAMPLERS, TPE])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--held-out", type=int, default=2000, help="images that judge")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
