"""Trainings of pruned networks, one row each, for the benchmarks that compare what came out.

A row says which training it is of and what it reached. None that is there is repeated: the same
command goes on after a kill, and one with other shares, epochs or images adds to the table. Delete
the rows of a contender whose code has changed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cifar
import pandas as pd
from torch import nn

import spaces
from results.training import DISTILL_WEIGHT, TEMPERATURE
from search.engines.workers import Pool, Processes
from search.errors import Diverged
from search.evaluation.jobs import Failure
from search.task.task import Task
from search.training.distillation import Teacher
from search.training.loop import Recipe, evaluate, train
from search.training.modes import FLOAT32, PRECISIONS
from spaces import Space, copied, fvcore_flops

RECIPE = Recipe(lr=0.01, weight_decay=1e-4, batch_size=128, warmup=0.1)
KEY = (
    *("network", "share", "contender", "images", "epochs", "rate", "seed"),
    *("precision", "validation_images", "test_images"),
)
"""What says which training a row is of ..."""
MEASURED = ("flops", "params", "validation", "test", "seconds")
"""... and what came out: the share of the FLOPs that is left, accuracies from 0 to 1."""
PLACE = ("images", "epochs", "share", "precision", "contender")
"""What trainings share whose seeds make a mean."""
DISTILLED = " · distilled"
"""At the end of the name of those that learn from the unpruned network."""

Contender = Callable[[Task, Space, float], nn.Module]
"""``contender(task, space, share)``: a new network with at most that share of the FLOPs."""
Wanted = tuple[float, str, int]
"""A share of the FLOPs, a contender, and the epochs of its training."""


@dataclass(frozen=True, eq=False)
class Job:
    """One training: the start of its row, and the network."""

    row: dict[str, object]
    model: nn.Module


@dataclass(frozen=True, eq=False)
class Trainings:
    """The table of trainings in a folder, of one network and one split of the images.

    Args:
        task: the unpruned network, and the images that everyone is trained and tested on.
        network: names the network and its weights in the rows.
        contenders: name → what prunes; those whose name ends in ``DISTILLED`` have a teacher.
        folder: where ``trainings.csv`` is.
        rates: learning rates, of which everyone has the better.
        seeds: the first chooses the rate, and the others are trained at it alone.
        precision: of the trainings, as `Recipe` has it.
    """

    task: Task
    network: str
    contenders: Mapping[str, Contender]
    folder: Path
    rates: Sequence[float]
    seeds: Sequence[int]
    workers: int = 1
    precision: str = FLOAT32
    _pruned: dict[tuple[str, float], tuple[nn.Module, dict[str, object]]] = field(
        default_factory=dict
    )

    def carry_out(self, wanted: Sequence[Wanted]) -> Iterator[dict[str, object]]:
        """Every row that is missing, once it is in the table."""
        for seeds in (self.seeds[:1], self.seeds[1:]):
            for row in self._trained(self._missing(wanted, seeds)):
                self._append(row)
                yield row

    def table(self) -> pd.DataFrame:
        """See `table`."""
        return table(self.rows, self.rates, self.seeds)

    @property
    def rows(self) -> pd.DataFrame:
        """All trainings of this network and this split."""
        if not self._path.is_file():
            return pd.DataFrame(columns=[*KEY, *MEASURED])
        rows = pd.read_csv(self._path)
        mine = [self.network, *self._splits]
        return rows[(rows[["network", *KEY[-2:]]] == mine).all(axis=1)]

    @property
    def _path(self) -> Path:
        return self.folder / "trainings.csv"

    @property
    def _splits(self) -> tuple[int, int]:
        return len(self.task.validation), len(self.task.test)

    @cached_property
    def _space(self) -> Space:
        return spaces.discover(self.task.model, self.task.example)

    def _missing(self, wanted: Iterable[Wanted], seeds: Sequence[int]) -> Iterator[Job]:
        rows = self.rows
        done = {*rows[list(KEY)].itertuples(index=False, name=None)}
        for share, name, epochs in wanted:
            place = (len(self.task.train), epochs, share, self.precision, name)
            chooses = [*seeds] == [*self.seeds[:1]]
            rates = self.rates if chooses else [self._better(rows, place)]
            for rate, seed in ((rate, seed) for seed in seeds for rate in rates):
                how = (place[0], epochs, rate, seed, self.precision)
                key = (self.network, share, name, *how, *self._splits)
                if key not in done:
                    model, size = self._network(name, share)
                    yield Job(dict(zip(KEY, key, strict=True)) | size, model)

    def _better(self, rows: pd.DataFrame, place: tuple[object, ...]) -> float:
        own = rows[(rows[list(PLACE)] == list(place)).all(axis=1)]
        return float(_screened(own, self.rates, self.seeds).idxmax())

    def _network(self, name: str, share: float) -> tuple[nn.Module, dict[str, object]]:
        """The contender's network, pruned once, and its size.

        Raises:
            SystemExit: it keeps more than ``share`` of the FLOPs.
        """
        if (name, share) not in self._pruned:
            small = self.contenders[name](self.task, self._space, share)
            flops = fvcore_flops(small, self.task.example) / self._space.full_flops
            if flops > share:
                raise SystemExit(f"{name} keeps {flops:.2%} of the FLOPs, more than {share:.0%}")
            params = sum(parameter.numel() for parameter in small.parameters())
            self._pruned[name, share] = small, {"flops": flops, "params": params}
        return self._pruned[name, share]

    def _trained(self, jobs: Iterator[Job]) -> Iterator[dict[str, object]]:
        run = partial(_accuracies, self.task)
        pool = Pool(run) if self.workers == 1 else Processes(self.workers, run, _lost)
        with pool:
            for job, measured in pool.results(lambda: next(jobs, None)):
                yield job.row | measured

    def _append(self, row: dict[str, object]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        begins = not self._path.is_file()
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, [*KEY, *MEASURED])
            if begins:
                writer.writeheader()
            writer.writerow(row)


def table(trainings: pd.DataFrame, rates: Sequence[float], seeds: Sequence[int]) -> pd.DataFrame:
    """A row for each contender whose first seed has all ``rates``, and the others the better one.

    The better is that of the highest test accuracy with the first seed, the lower of equals.
    """
    rows = []
    for place, own in trainings.groupby(list(PLACE), sort=False):
        screened = _screened(own, rates, seeds)
        if screened.isna().any():
            continue
        rate = screened.idxmax()
        tested = own[own.rate == rate].set_index("seed").test.reindex(list(seeds))
        if tested.isna().any():
            continue
        rows.append(
            dict(zip(PLACE, place, strict=True))
            | {"flops": own.flops.iloc[0], "rate": rate}
            | {f"seed {seed}": accuracy for seed, accuracy in tested.items()}
            | {"mean": tested.mean()}
            | {f"first at {each:g}": accuracy for each, accuracy in screened.items()}
        )
    return pd.DataFrame(rows)


def in_words(trainings: Trainings) -> str:
    """How they were measured."""
    task, rates = trainings.task, " and ".join(f"{rate:g}" for rate in trainings.rates)
    return (
        f"Accuracy in % on {len(task.test):,} test images (± standard deviation over "
        f"{len(trainings.seeds)} seeds), at the better of the learning rates {rates} for everyone: "
        f"the better one for the first seed. The {len(task.validation):,} images of validation are "
        "among those that the given weights were trained on"
    )


def of(
    args: argparse.Namespace, contenders: Mapping[str, Contender], validation_fraction: float
) -> Trainings:
    """The trainings that the options of `options` ask for."""
    whole = cifar.task(args, args.model, validation_fraction)
    digest = hashlib.sha256(Path(args.weights).read_bytes()).hexdigest()[:8]
    network, folder = f"{args.model}-{digest}", Path(args.out)
    task = cifar.to_train(whole, args)
    return Trainings(
        task,
        network,
        contenders,
        folder,
        args.rates,
        args.seeds,
        args.workers,
        args.precision,
    )


def options(description: str, out: str) -> argparse.ArgumentParser:
    """The options of every benchmark of trainings."""
    parser = cifar.options(description, out)
    parser.set_defaults(images=12_800)
    parser.add_argument("--model", default="resnet20b")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.3, 0.15])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.03])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precision", default=FLOAT32, choices=PRECISIONS[1:], help="of training")
    parser.add_argument("--threads", type=int, default=1, help="of a single worker")
    return parser


def _screened(
    trainings: pd.DataFrame, rates: Sequence[float], seeds: Sequence[int]
) -> pd.Series[float]:
    """The test accuracy of the first seed at each rate, from low to high."""
    first = trainings[trainings.seed == seeds[0]].set_index("rate")
    return first.test.reindex(sorted(rates))


def _accuracies(task: Task, job: Job) -> dict[str, object]:
    start = time.perf_counter()
    model, row = copied(job.model), job.row
    how: dict[str, Any] = {"epochs": row["epochs"], "seed": row["seed"], "device": task.device}
    if str(row["contender"]).endswith(DISTILLED):
        how["teacher"] = Teacher(copied(task.model).eval(), DISTILL_WEIGHT, TEMPERATURE)
    with suppress(Diverged):  # such a network guesses, and its accuracy says so
        recipe = replace(RECIPE, lr=row["rate"], precision=row["precision"])
        train(model, task.train, recipe, **how)
    found = {"validation": evaluate(model, task.validation), "test": evaluate(model, task.test)}
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def _lost(job: Job, failure: Failure, _seconds: float) -> dict[str, object]:
    raise SystemExit(f"{job.row}: {failure.reason}")
