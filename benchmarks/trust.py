"""Which proxy tells the better policy at equal FLOPs? Rank correlations with trained accuracy.

    PYTHONPATH=. python benchmarks/trust.py CIFAR WEIGHTS --workers 4

Policies of a network whose FLOPs differ by less than 0.5 % are drawn at random, scored by every
proxy, and fine-tuned for ``--epochs``; some of them again with another seed, for the noise ceiling.
Kendall and Spearman with bootstrap intervals over policies; parameters are the control. Accuracy is
that on the test split, which nothing was chosen by. Combinations are means of ranks of up to three
proxies: chosen on one random half of the policies and judged on the other, many times, so that
the figure is not that of the luckiest. The surrogate foretells each policy from the trainings of
others, see `held_out.py`. Trainings are kept in ``--runs``. Written are ``policies.csv``,
``trust.csv``, ``combinations.csv`` and ``README.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import cifar
import numpy as np
import pandas as pd
from held_out import foretold
from scipy.stats import kendalltau, rankdata
from torch import Tensor

import prune_ops
import spaces
from prune_ops import PROXIES
from prune_ops.sensitivities.repaired_damage import terms
from results import TrialRecord
from results.trust import noise_ceiling, trust_table
from search import cache
from search.config import SearchConfig
from search.engines.local import Local, next_rung_lost, next_rung_measured
from search.engines.workers import Processes
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob
from search.evaluation.scoring import in_one_unit
from search.policies.surrogate import TABLE
from search.training.modes import PRECISIONS
from spaces import Budget, Policy, Space

BAND = 0.005
"""By so much of the network's share policies of equal FLOPs may differ."""
JUDGE = "reconstructed"
"""The proxy by which rung 0 judges."""


def main() -> None:
    args = _arguments()
    evaluator = _evaluator(args)
    policies = drawn(evaluator.space, Budget.parse(args.budget), args.policies)
    records = [_record(evaluator.space, k, policy) for k, policy in enumerate(policies)]
    records = sorted(_judged(evaluator, records, args.workers), key=lambda record: record.number)
    trained = list(_trained(evaluator, records, args))
    first, again = ([r for r in trained if bool(r.seed) == repeat] for repeat in (False, True))
    first = _foretold(evaluator, first, args)
    _write(first, again, evaluator, args)


def _evaluator(args: argparse.Namespace) -> Evaluator:
    task = cifar.task(args, args.model)
    space = spaces.discover(task.model, task.example)
    name = args.criterion
    scores = prune_ops.score(task.model, space, task.calibration(), [name])
    config = SearchConfig.of(
        criterion=name,
        proxies=args.proxies,
        rank_by=args.proxies[0],
        surgery=args.surgery,
        precision=args.precision,
    )
    damages: Mapping[str, Tensor] = {}
    if "iso_damage" in args.proxies:
        measured = prune_ops.measure(
            task.model, space, scores[name], task.held_out(), ["iso_damage"]
        )
        damages = measured["iso_damage"]
    unit = {name: in_one_unit(scores[name], name)}
    return Evaluator(
        task=cifar.to_train(task, args), space=space, scores=unit, config=config, damages=damages
    )


def _foretold(
    evaluator: Evaluator, records: Sequence[TrialRecord], args: argparse.Namespace
) -> list[TrialRecord]:
    """With what the surrogate foretells of each, by the accuracies of others."""
    task, space = evaluator.task, evaluator.space
    stats = prune_ops.statistics(task.model, space, task.calibration(), ["obs", TABLE])
    scores = prune_ops.score(task.model, space, (), ["obs"], stats=stats)["obs"]
    measured = prune_ops.measure(task.model, space, scores, (), [TABLE], stats=stats)[TABLE]
    damages, budget = terms(space, measured), Budget.parse(args.budget)
    by_name = {
        "surrogate, held out": foretold(space, damages, budget, records, None),
        f"surrogate with {JUDGE}, held out": foretold(space, damages, budget, records, JUDGE),
    }
    return [
        replace(r, proxies=r.proxies | {name: float(own[k]) for name, own in by_name.items()})
        for k, r in enumerate(records)
    ]


def drawn(space: Space, budget: Budget, count: int, seed: int = 0) -> list[Policy]:
    """Random widths under the budget, all different, within ``BAND`` of each other's FLOPs."""
    rng, found = np.random.default_rng(seed), dict[Policy, None]()
    limit = space.limit(budget)
    while len(found) < count:
        proposal = Policy({g.name: int(rng.choice(g.choices)) for g in space.groups})
        policy = space.project(proposal, budget)
        if space.flops(policy) >= (1 - BAND) * limit:
            found.setdefault(policy)
    return list(found)


def _record(space: Space, number: int, policy: Policy) -> TrialRecord:
    flops = space.flops(policy)
    share = flops / space.full_flops
    return TrialRecord(
        number, policy, "random", flops, share, space.params(policy), state="complete"
    )


def _judged(
    evaluator: Evaluator, records: Sequence[TrialRecord], workers: int
) -> Iterator[TrialRecord]:
    """With every proxy's score."""
    waiting = iter(records)
    with Processes(workers, partial(next_rung_measured, evaluator), next_rung_lost) as pool:
        for record, result in pool.results(lambda: next(waiting, None)):
            if result.failure is not None:
                raise SystemExit(f"policy {record.number}: {result.failure.reason}")
            yield replace(record, proxies=result.proxies)


def _trained(
    evaluator: Evaluator, records: Sequence[TrialRecord], args: argparse.Namespace
) -> Iterator[TrialRecord]:
    """With its accuracy, each policy; the last few once more for every further seed."""
    how = evaluator.specs.in_mode(evaluator.space.full, args.epochs)
    about = (
        Path(args.cifar).resolve(),
        Path(args.weights).resolve(),
        args.criterion,
        args.surgery,
        how,
    )
    images = len(evaluator.task.train), len(evaluator.task.test)
    path = Path(args.runs) / f"trust-{cache.key(about, images)}.pt"
    accuracies: dict[str, float] = cache.load(path) or {}
    wanted = [replace(r, seed=0) for r in records]
    again = records[len(records) - args.repeated :]
    wanted += [replace(r, seed=seed) for r in again for seed in range(1, args.seeds)]
    record_of = {(r.policy, r.seed): r for r in wanted}
    missing = [r for r in wanted if _key(r.policy, r.seed) not in accuracies]
    jobs = [TrainingJob(r.candidate, how, r.seed) for r in missing]
    for job, result in Local(args.workers).train(evaluator, jobs):
        record = record_of[job.candidate.policy, job.seed]
        if result.failure is not None:
            raise SystemExit(f"policy {record.number}: {result.failure.reason}")
        accuracies[_key(job.candidate.policy, job.seed)] = result.test_accuracy
        cache.save(path, accuracies)
        print(f"policy {record.number} seed {job.seed}: {result.test_accuracy:.4f}", flush=True)
    for record in wanted:
        yield replace(record, accuracy=(accuracies[_key(record.policy, record.seed)],))


def _key(policy: Policy, seed: int) -> str:
    return f"{policy.key}:{seed}"


def combined(records: Sequence[TrialRecord], splits: int = 200, seed: int = 0) -> pd.DataFrame:
    """Kendall of every mean of ranks, over all policies, and of the choice among them.

    The row ``chosen`` is the mean over random halves: the combination that is best on one half,
    judged on the other. So is ``chosen single``, among single proxies.
    """
    names = [n for n in records[0].proxies if n != "params" and not n.startswith("surrogate")]
    ranks = {name: rankdata([r.proxies[name] for r in records]) for name in names}
    accuracy = np.array([r.val_accuracy for r in records])
    sets = [parts for size in (1, 2, 3) for parts in combinations(names, size)]
    scores = {parts: np.mean([ranks[name] for name in parts], axis=0) for parts in sets}
    rows = [(" + ".join(parts), _kendall(score, accuracy)) for parts, score in scores.items()]
    table = pd.DataFrame(rows, columns=["combination", "kendall"])
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(len(records)) for _ in range(splits)]
    for label, among in (("chosen single", sets[: len(names)]), ("chosen", sets)):
        found = [_chosen(scores, among, accuracy, order) for order in halves]
        table.loc[len(table)] = [label, float(np.nanmean(found))]
    return table.sort_values("kendall", ascending=False)


def _chosen(
    scores: dict[tuple[str, ...], np.ndarray],
    among: Sequence[tuple[str, ...]],
    accuracy: np.ndarray,
    order: np.ndarray,
) -> float:
    here, there = np.array_split(order, 2)
    best = max(among, key=lambda parts: _kendall(scores[parts][here], accuracy[here]))
    return _kendall(scores[best][there], accuracy[there])


def _kendall(a: np.ndarray, b: np.ndarray) -> float:
    return float(kendalltau(a, b).statistic)


def _write(
    records: Sequence[TrialRecord],
    again: Sequence[TrialRecord],
    evaluator: Evaluator,
    args: argparse.Namespace,
) -> None:
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        {"policy": r.number, "seed": r.seed, "flops": r.flops, "params": r.params}
        | {"test_accuracy": r.val_accuracy}
        | {f"proxy:{name}": value for name, value in r.proxies.items()}
        | {f"width:{name}": width for name, width in r.policy.items()}
        for r in (*records, *again)
    ]
    pd.DataFrame(rows).to_csv(out / "policies.csv", index=False)
    trust, both = trust_table(records, again), combined(records)
    trust.to_csv(out / "trust.csv", index=False)
    both.to_csv(out / "combinations.csv", index=False)
    (out / "README.md").write_text("\n".join(_text(records, again, evaluator, trust, both, args)))
    print(trust[["name", "n", "kendall", "kendall_low", "kendall_high", "spearman"]].to_string())
    print(both.head(8).to_string(), both[both.combination.str.startswith("chosen")].to_string())


def _text(
    records: Sequence[TrialRecord],
    again: Sequence[TrialRecord],
    evaluator: Evaluator,
    trust: pd.DataFrame,
    both: pd.DataFrame,
    args: argparse.Namespace,
) -> Iterator[str]:
    shares = [r.flops_fraction for r in records]
    yield "# Proxies, measured\n"
    yield cifar.settings(evaluator.task, args.model)
    yield (
        f"\n{len(records)} random policies between {min(shares):.2%} and {max(shares):.2%} of the "
        f"FLOPs, channels by {args.criterion}, surgery {args.surgery}, fine-tuned for "
        f"{args.epochs} annealed epochs in {args.precision}. Rank correlation with test accuracy, "
        "95 % bootstrap intervals over policies.\n"
    )
    yield "| proxy | Kendall τ | Spearman ρ |"
    yield "| --- | ---: | ---: |"
    for row in trust.sort_values("kendall", ascending=False).itertuples():
        tau = f"{row.kendall:.2f} [{row.kendall_low:.2f}, {row.kendall_high:.2f}]"
        rho = f"{row.spearman:.2f} [{row.spearman_low:.2f}, {row.spearman_high:.2f}]"
        yield f"| {row.name}{' (control)' if row.control else ''} | {tau} | {rho} |".replace(
            "-", "−"
        )
    ceiling = noise_ceiling(records, again)
    if ceiling is not None:
        yield (
            f"\nNoise ceiling: {ceiling.policies} policies trained with {args.seeds} seeds differ "
            f"by {100 * ceiling.deviation:.2f} points from seed to seed, so that a perfect proxy "
            f"would reach τ = {ceiling.kendall.value:.2f} [{ceiling.kendall.low:.2f}, "
            f"{ceiling.kendall.high:.2f}].\n"
        )
    choice = both.set_index("combination").kendall
    yield (
        "Means of ranks of up to three proxies, chosen on a random half of the policies and judged "
        f"on the other, 200 times: τ = {choice['chosen']:.2f} on average; a single proxy chosen in "
        f"the same way: {choice['chosen single']:.2f}. Over all policies, where the choice "
        "flatters, the best are:\n"
    )
    yield "| combination | Kendall τ |"
    yield "| --- | ---: |"
    for row in both[~both.combination.str.startswith("chosen")].head(8).itertuples():
        yield f"| {row.combination} | {row.kendall:.2f} |".replace("-", "−")
    yield ""


def _arguments() -> argparse.Namespace:
    parser = cifar.options(__doc__.splitlines()[0], "trust")
    parser.add_argument("--model", default="resnet20", help="the architecture of the weights")
    parser.add_argument("--budget", default="0.3")
    parser.add_argument("--criterion", default="obs", help="says which channels stay")
    parser.add_argument("--surgery", default="reconstruct", help="before training")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of training")
    parser.add_argument("--proxies", nargs="+", default=list(PROXIES))
    parser.add_argument("--policies", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--repeated", type=int, default=12, help="policies of more than one seed")
    parser.add_argument("--seeds", type=int, default=2, help="of those")
    return parser.parse_args()


if __name__ == "__main__":
    main()
