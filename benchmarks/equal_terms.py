"""Which tool leaves the better network at equal FLOPs? Every side trained on the same terms.

    PYTHONPATH=. python benchmarks/equal_terms.py CIFAR WEIGHTS --model resnet20b

Every contender prunes one trained network to at most each share of its FLOPs. What is left is
trained on the same images, in the same order, with the same crops and flips: ``--epochs`` of SGD
(batches of 128, Nesterov momentum 0.9, weight decay 1e-4), the rate rising over the first tenth of
the steps and falling to zero by a cosine. Those called distilled learn from the unpruned network
too. All sides have the better of ``--rates``, by the test accuracy of the first of ``--seeds``; the
others are trained at that rate alone. Nothing else is chosen on the test split, and pruning sees no
other images than training does.

Each training is one row of ``trainings.csv`` in ``--out``, and none that is there is repeated: the
same command goes on after a kill, and one with other shares, epochs or images adds to it. Delete
the rows of a contender whose code has changed. Needs the ``dev`` extra. Written are
``trainings.csv``, ``table.csv`` and ``README.md``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cifar
import pandas as pd
import torch
from peers import CRITERIA, SCOPES, pruned_by_torch_pruning
from torch import nn

import prune_ops
import search
import spaces
from results.training import DISTILL_WEIGHT, TEMPERATURE
from search.data.splits import Batch
from search.engines.workers import Pool, Processes
from search.errors import Diverged
from search.evaluation.jobs import Failure
from search.evaluation.repairing import images_to_train_on
from search.task.task import Task
from search.training.distillation import Teacher
from search.training.loop import Recipe, evaluate, train
from spaces import Budget, Space, copied, fvcore_flops

IMAGES = 12_800
TABLE = "repaired_damage"
RECIPE = Recipe(lr=0.01, weight_decay=1e-4, batch_size=128, warmup=0.1)
KEY = (
    *("network", "share", "contender", "images", "epochs", "rate", "seed"),
    *("validation_images", "test_images"),
)
"""What says which training a row is of ..."""
MEASURED = ("flops", "params", "validation", "test", "seconds")
"""... and what came out: the share of the FLOPs that is left, accuracies from 0 to 1."""

DISTILLED = " · distilled"
"""At the end of the name of those that learn from the unpruned network."""

Contender = Callable[[Task, Space, float], nn.Module]
"""``contender(task, space, share)``: a new network with at most that share of the FLOPs."""


def _uniform(criterion: str, surgery: str, task: Task, space: Space, share: float) -> nn.Module:
    batches = task.calibration()
    scores = prune_ops.score(task.model, space, batches, [criterion])[criterion]
    policy = space.uniform(share)
    return prune_ops.prune(task.model, space, policy, scores, surgery, _images(task))


def _images(task: Task) -> list[Batch]:
    """Those on which a search repairs what it trains."""
    return task.calibration(images_to_train_on(task))


def _solved(task: Task, space: Space, share: float) -> nn.Module:
    """The widths of the least sum in the damage table: nothing is judged, nothing trained."""
    batches = task.calibration()
    stats = prune_ops.statistics(task.model, space, batches, ["obs", TABLE])
    scores = prune_ops.score(task.model, space, (), ["obs"], stats=stats)["obs"]
    damages = prune_ops.measure(task.model, space, scores, (), [TABLE], stats=stats)[TABLE]
    policy = prune_ops.SENSITIVITIES[TABLE].policy(space, damages, Budget.parse(str(share)))
    return prune_ops.prune(task.model, space, policy, scores, "reconstruct", _images(task))


def _searched(distill: bool, task: Task, space: Space, share: float) -> nn.Module:
    """The best policy of one search: 100 repaired judgements, at most 20 trainings of an epoch."""
    with TemporaryDirectory() as runs:
        run = search.search(
            task,
            str(share),
            100,
            eta=12.0,
            explore=0.0,
            rungs=(1,),
            repeats=0,
            final_epochs=1,
            final_seeds=1,
            gains=False,
            distill=distill,
            runs_dir=runs,
        )
        trained = [r for r in run.records if r.state == "complete"]
        best = max(trained, key=lambda r: r.val_accuracy)
        print(share, f"{len(run.swept)} + {len(trained)} brief trainings in the search", flush=True)
    batches = task.calibration()
    scores = prune_ops.score(task.model, space, batches, ["obs"])["obs"]
    return prune_ops.prune(task.model, space, best.policy, scores, "reconstruct", _images(task))


def _peer(criterion: str, scope: str, task: Task, _space: Space, share: float) -> nn.Module:
    return pruned_by_torch_pruning(
        task.model, task.example, criterion, scope, share, task.calibration()
    )


OURS: dict[str, Contender] = {
    "uniform · l1 · plain": partial(_uniform, "l1", "plain"),
    "uniform · thinet · reconstruct": partial(_uniform, "thinet", "reconstruct"),
    "uniform · obs · reconstruct": partial(_uniform, "obs", "reconstruct"),
    "solved · obs · reconstruct": _solved,
    "searched · obs · reconstruct": partial(_searched, False),
}
OURS |= {
    "uniform · thinet · reconstruct · distilled": OURS["uniform · thinet · reconstruct"],
    "solved · obs · reconstruct · distilled": _solved,
    "searched · obs · reconstruct · distilled": partial(_searched, True),
}
PEERS: dict[str, Contender] = {
    f"torch-pruning · {scope} · {criterion}": partial(_peer, criterion, scope)
    for criterion in CRITERIA
    for scope in SCOPES
}
CONTENDERS: dict[str, Contender] = OURS | PEERS
USUAL = (*OURS, *(name for name in PEERS if name.endswith(("· l1", "· taylor", "· hessian"))))
"""Those of a call without ``--only``."""


@dataclass(frozen=True, eq=False)
class Job:
    """One training: the start of its row, and the network."""

    row: dict[str, object]
    model: nn.Module


class Networks(dict[tuple[str, float], tuple[nn.Module, dict[str, object]]]):
    """(contender, share) → its network and its size, pruned when it is asked for first."""

    def __init__(self, task: Task, space: Space) -> None:
        super().__init__()
        self.task, self.space = task, space

    def __missing__(self, key: tuple[str, float]) -> tuple[nn.Module, dict[str, object]]:
        name, share = key
        small = CONTENDERS[name](self.task, self.space, share)
        flops = fvcore_flops(small, self.task.example) / self.space.full_flops
        if flops > share:
            raise SystemExit(f"{name} keeps {flops:.2%} of the FLOPs, more than {share:.0%}")
        size: dict[str, object] = {
            "flops": flops,
            "params": sum(p.numel() for p in small.parameters()),
        }
        self[key] = small, size
        return self[key]


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    task = cifar.to_train(cifar.task(args, args.model, args.validation_fraction), args)
    digest = hashlib.sha256(Path(args.weights).read_bytes()).hexdigest()[:8]
    network = f"{args.model}-{digest}"
    path = Path(args.out) / "trainings.csv"
    networks = Networks(task, spaces.discover(task.model, task.example))
    for seeds in (args.seeds[:1], args.seeds[1:]):  # the first has all rates, and chooses
        jobs = _missing(networks, network, path, seeds, args)
        for row in _trained(task, jobs, args.workers):
            _append(path, row)
            print(*row.values(), flush=True)
            _write(task, network, args)
    _write(task, network, args)
    print((Path(args.out) / "README.md").read_text())


def _missing(
    networks: Networks, network: str, path: Path, seeds: Sequence[int], args: argparse.Namespace
) -> Iterator[Job]:
    """The trainings that have no row; a network is pruned when its first one is asked for."""
    task, known = networks.task, _of_splits(_trainings(path), networks.task)
    done = {*known[list(KEY)].itertuples(index=False, name=None)}
    sizes = len(task.validation), len(task.test)
    for share in args.shares:
        for name in _chosen_names(args.only):
            place = (network, share, name, len(task.train), args.epochs)
            rates = args.rates if seeds == args.seeds[:1] else [_better(known, place, args)]
            for key in ((*place, rate, seed, *sizes) for seed in seeds for rate in rates):
                if key not in done:
                    small, size = networks[name, share]
                    yield Job(dict(zip(KEY, key, strict=True)) | size, small)


def _better(trainings: pd.DataFrame, place: tuple[object, ...], args: argparse.Namespace) -> float:
    """The rate of the highest test accuracy with the first seed, the lower of equals."""
    own = (trainings[list(KEY[: len(place)])] == list(place)).all(axis=1)
    own &= (trainings.seed == args.seeds[0]) & trainings.rate.isin(args.rates)
    return float(_by_rate(trainings[own]).idxmax())


def _by_rate(trainings: pd.DataFrame) -> pd.Series:
    return trainings.set_index("rate").test.sort_index()


def _chosen_names(only: Sequence[str] | None) -> list[str]:
    if only is None:
        return list(USUAL)
    names = [name for name in CONTENDERS if any(text in name for text in only)]
    if not names:
        raise SystemExit(f"no contender has {' or '.join(only)} in its name: {[*CONTENDERS]}")
    return names


def _trained(task: Task, jobs: Iterator[Job], workers: int) -> Iterator[dict[str, object]]:
    """The rows of the jobs, as they are done."""
    run = partial(_accuracies, task)
    pool = Pool(run) if workers == 1 else Processes(workers, run, _lost)
    with pool:
        for job, measured in pool.results(lambda: next(jobs, None)):
            yield job.row | measured


def _accuracies(task: Task, job: Job) -> dict[str, object]:
    start = time.perf_counter()
    model, row = copied(job.model), job.row
    how: dict[str, Any] = {"epochs": row["epochs"], "seed": row["seed"], "device": task.device}
    if row["contender"].endswith(DISTILLED):
        how["teacher"] = Teacher(copied(task.model).eval(), DISTILL_WEIGHT, TEMPERATURE)
    with suppress(Diverged):  # such a network guesses, and its accuracy says so
        train(model, task.train, replace(RECIPE, lr=row["rate"]), **how)
    found = {"validation": evaluate(model, task.validation), "test": evaluate(model, task.test)}
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def _lost(job: Job, failure: Failure, _seconds: float) -> dict[str, object]:
    raise SystemExit(f"{job.row}: {failure.reason}")


def _trainings(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=[*KEY, *MEASURED])


def _append(path: Path, row: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    begins = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*KEY, *MEASURED])
        if begins:
            writer.writeheader()
        writer.writerow(row)


def table(trainings: pd.DataFrame, rates: Sequence[float], seeds: Sequence[int]) -> pd.DataFrame:
    """A row for each contender whose first seed has all ``rates``, and the others the better one.

    The better is that of the highest test accuracy with the first seed, the lower of equals.
    """
    rows = []
    for place, own in trainings.groupby(["images", "epochs", "share", "contender"], sort=False):
        screened = _by_rate(own[own.seed == seeds[0]]).reindex(sorted(rates))
        if screened.isna().any():
            continue
        rate = screened.idxmax()
        tested = own[own.rate == rate].set_index("seed").test.reindex(list(seeds))
        if tested.isna().any():
            continue
        rows.append(
            dict(zip(("images", "epochs", "share", "contender"), place, strict=True))
            | {"flops": own.flops.iloc[0], "rate": rate}
            | {f"seed {seed}": accuracy for seed, accuracy in tested.items()}
            | {"mean": tested.mean()}
            | {f"first at {each:g}": accuracy for each, accuracy in screened.items()}
        )
    return pd.DataFrame(rows)


def _of_splits(trainings: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Those that were measured on as many images as the task has."""
    sizes = trainings[["validation_images", "test_images"]]
    return trainings[(sizes == [len(task.validation), len(task.test)]).all(axis=1)]


def _write(task: Task, network: str, args: argparse.Namespace) -> None:
    out = Path(args.out)
    trainings = _of_splits(_trainings(out / "trainings.csv"), task)
    rows = table(trainings[trainings.network == network], args.rates, args.seeds)
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "table.csv", index=False)
    (out / "README.md").write_text("\n".join(_words(rows, task, args)) + "\n")


def _words(rows: pd.DataFrame, task: Task, args: argparse.Namespace) -> Iterator[str]:
    yield "# Equal terms, measured\n"
    yield (
        f"{args.model} with the given weights, Torch-Pruning {version('torch-pruning')}; "
        f"{len(task.test):,} test images, {len(task.validation):,} of validation; "
        f"{cifar.machine(task)}. Test accuracy in %, best mean first (± standard deviation over "
        f"{len(args.seeds)} seeds), at the better of the learning rates "
        f"{' and '.join(f'{rate:g}' for rate in args.rates)} for everyone: the better one for the "
        "first seed, whose accuracy at each is given. The validation images are among those that "
        "the given weights were trained on."
    )
    if rows.empty:
        return
    for (images, epochs, share), own in rows.groupby(["images", "epochs", "share"]):
        passes = f"{epochs} epoch{'s' if epochs > 1 else ''}"
        yield f"\n## At most {share:.0%} of the FLOPs, {passes} over {images:,} images\n"
        yield from _lines(own.sort_values("mean", ascending=False), args.seeds, args.rates)


def _lines(rows: pd.DataFrame, seeds: Sequence[int], rates: Sequence[float]) -> Iterator[str]:
    columns, others = [f"seed {seed}" for seed in seeds], [f"first at {r:g}" for r in rates]
    yield f"| contender | FLOPs kept | rate | {' | '.join([*columns, 'mean', *others])} |"
    yield f"| --- |{' ---: |' * (len(columns) + len(others) + 3)}"
    for _, row in rows.iterrows():
        tested = [row[column] for column in columns]
        cells = [f"{100 * accuracy:.2f}" for accuracy in (*tested, *row[others])]
        cells.insert(len(tested), cifar.mean_and_spread(tested))
        cells = [f"{row.flops:.1%}", f"{row.rate:g}", *cells]
        yield f"| {row.contender} | {' | '.join(cells)} |"


def _arguments() -> argparse.Namespace:
    parser = cifar.options(__doc__.splitlines()[0], "equal_terms")
    parser.set_defaults(images=IMAGES)
    parser.add_argument("--model", default="resnet20b")
    parser.add_argument("--only", nargs="+", help="contenders with one of these in their names")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.3, 0.15])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.03])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--validation-fraction", type=float, default=0.04)
    parser.add_argument("--threads", type=int, default=1, help="of a single worker")
    return parser.parse_args()


if __name__ == "__main__":
    main()
