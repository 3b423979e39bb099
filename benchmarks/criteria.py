"""Which criterion leaves the better network? Equal widths, so that only the criterion differs.

    PYTHONPATH=. python benchmarks/criteria.py CIFAR WEIGHTS --workers 4

Every criterion prunes ResNet-20 to uniform widths at each budget, with several seeds: of the
calibration images, of what is drawn, and of the training. Accuracy on the test split directly after
pruning, with BatchNorm statistics taken anew, and after one annealed epoch of fine-tuning; nothing
is chosen by it. Scores and statistics come from all training images, epochs are over ``--images``
of them. The last pairs are differences from ``random`` and of ``second_order`` from ``l1``,
paired by seed. Scores are kept in ``--runs``. Written are ``criteria.csv`` and ``README.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from math import nan
from pathlib import Path

import cifar
import pandas as pd

import prune_ops
import spaces
from prune_ops import Scores, prune
from prune_ops.proxies.accuracies import recalibrated
from results.differences import paired
from results.record import Candidate
from search import cache
from search.config import SearchConfig
from search.engines.local import Local
from search.evaluation.evaluator import ADAPTING, Evaluator
from search.evaluation.jobs import TrainingJob, WeightSource
from search.task.task import Task
from search.training.loop import evaluate
from spaces import Policy, Space

MEASURES = ("directly", "adaptive BN", "one epoch")


def main() -> None:
    args = _arguments()
    task = cifar.task(args)
    space = spaces.discover(task.model, task.example)
    sources = {
        f"{name}:{seed}": WeightSource(scores)
        for seed in range(args.seeds)
        for name, scores in _scores(task, space, args, seed).items()
    }
    if args.only_scores:
        return
    policies = {budget: space.uniform(budget) for budget in args.budgets}
    rows = [
        {"budget": budget, "criterion": name, "seed": int(seed)}
        | dict(zip(MEASURES, (*_untrained(task, space, policy, source.scores), nan), strict=True))
        for budget, policy in policies.items()
        for (name, seed), source in ((key.split(":"), s) for key, s in sources.items())
    ]
    table = pd.DataFrame(rows)
    _write(table, task, space, policies, args)
    task = cifar.to_train(task, args)
    evaluator = Evaluator(task=task, space=space, scores={}, config=SearchConfig(), sources=sources)
    for budget, name, seed, accuracy in _trained(evaluator, policies, args):
        place = (table.budget == budget) & (table.criterion == name) & (table.seed == seed)
        table.loc[place, "one epoch"] = accuracy
        _write(table, task, space, policies, args)
    print(table.groupby(["budget", "criterion"])[list(MEASURES)].mean().to_string())


def _scores(task: Task, space: Space, args: argparse.Namespace, seed: int) -> dict[str, Scores]:
    """Of every criterion; a file of its own, as it takes long."""
    path = Path(args.runs) / f"criteria-{seed}.pt"
    stored = cache.load(path)
    if stored is None:
        batches = task.calibration(seed=seed)
        stored = dict(prune_ops.score(task.model, space, batches, args.criteria, seed=seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        cache.save(path, stored)
    return stored


def _untrained(task: Task, space: Space, policy: Policy, scores: Scores) -> tuple[float, float]:
    small = prune(task.model, space, policy, scores)
    images, batch_size = ADAPTING
    adapted = recalibrated(small, task.calibration(images, batch_size=batch_size))
    return evaluate(small, task.test), evaluate(adapted, task.test)


def _trained(
    evaluator: Evaluator, policies: dict[str, Policy], args: argparse.Namespace
) -> Iterator[tuple[str, str, int, float]]:
    """Budget, criterion, seed and accuracy of every training as it ends."""
    how = evaluator.specs.in_mode(evaluator.space.full, args.epochs)
    budget_of = {policy: budget for budget, policy in policies.items()}
    jobs = [
        TrainingJob(Candidate(policy, key), how, int(key.split(":")[1]))
        for policy in policies.values()
        for key in evaluator.sources
    ]
    for job, result in Local(args.workers).train(evaluator, jobs):
        if result.failure is not None:
            raise SystemExit(f"{job.candidate.criterion}: {result.failure.reason}")
        policy, name = job.candidate.policy, job.candidate.criterion.split(":")[0]
        yield budget_of[policy], name, job.seed, result.test_accuracy


def _write(
    table: pd.DataFrame,
    task: Task,
    space: Space,
    policies: dict[str, Policy],
    args: argparse.Namespace,
) -> None:
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "criteria.csv", index=False)
    lines = ["# Criteria, measured", "", cifar.settings(task, "resnet20"), ""]
    for budget, policy in policies.items():
        share = space.flops(policy) / space.full_flops
        lines += [f"## Uniform widths at {share:.1%} of the FLOPs", ""]
        lines += _table(table[table.budget == budget], args.seeds)
    (out / "README.md").write_text("\n".join(lines))


def _table(rows: pd.DataFrame, seeds: int) -> Iterator[str]:
    yield f"Test accuracy in %, mean ± standard deviation over {seeds} seeds, best first after one"
    yield "epoch; the last column is the paired difference from `random` with its 95 % interval."
    yield ""
    yield "| criterion | directly | adaptive BN | one epoch | one epoch, minus random |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    done = rows.dropna()
    means = done.groupby("criterion")["one epoch"].mean().sort_values(ascending=False)
    for name in means.index:
        own = done[done.criterion == name].sort_values("seed")
        cells = [cifar.mean_and_spread(own[measure]) for measure in MEASURES]
        yield f"| {name} | {' | '.join(cells)} | {_difference(done, name, 'random')} |"
    yield ""
    claim = _difference(done, "second_order", "l1")
    yield f"second_order minus l1 after one epoch: {claim} points."
    yield ""


def _difference(rows: pd.DataFrame, left: str, right: str, measure: str = "one epoch") -> str:
    """In points, paired by seed, with its Student-t interval."""
    by_seed = (rows[rows.criterion == name].set_index("seed")[measure] for name in (left, right))
    return "–" if left == right else paired(*(dict(one) for one in by_seed)).figure


def _arguments() -> argparse.Namespace:
    parser = cifar.options(__doc__.splitlines()[0], "criteria")
    names: Sequence[str] = [name for name in prune_ops.CRITERIA if name != "weight_sum"]  # is l1
    parser.add_argument("--criteria", nargs="+", default=names)
    parser.add_argument("--budgets", nargs="+", default=["0.5", "0.3"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--only-scores", action="store_true", help="score, and train nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
