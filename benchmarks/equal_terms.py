"""Which tool leaves the better network at equal FLOPs? Every side trained on the same terms.

    PYTHONPATH=. python benchmarks/equal_terms.py CIFAR WEIGHTS --model resnet20b

Every contender prunes one trained network to at most each share of its FLOPs. What is left is
trained on the same images, in the same order, with the same crops and flips: ``--epochs`` of SGD
(batches of 128, Nesterov momentum 0.9, weight decay 1e-4), the rate rising over the first tenth of
the steps and falling to zero by a cosine. Those called distilled learn from the unpruned network
too. All sides have the better of ``--rates``, by the test accuracy of the first of ``--seeds``; the
others are trained at that rate alone. Nothing else is chosen on the test split, and pruning sees no
other images than training does.

Needs the ``dev`` extra. Written are ``trainings.csv`` (see `training_rows.py`), ``table.csv`` and
``README.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from tempfile import TemporaryDirectory

import cifar
import pandas as pd
import torch
import training_rows
from peers import CRITERIA, SCOPES, pruned_by_torch_pruning
from torch import nn
from training_rows import DISTILLED, Contender, Trainings

import prune_ops
import search
from search.data.splits import Batch
from search.evaluation.repairing import images_to_train_on
from search.task.task import Task
from spaces import Budget, Space

TABLE = "repaired_damage"


def uniform(criterion: str, surgery: str, task: Task, space: Space, share: float) -> nn.Module:
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


def _searched(distill: bool, precision: str, task: Task, space: Space, share: float) -> nn.Module:
    """The best policy of one search: 100 repaired judgements, at most 20 trainings of an epoch."""
    with TemporaryDirectory() as runs:
        run = search.search(
            task,
            str(share),
            100,
            eta=15.0,
            explore=0.0,
            rungs=(1,),
            repeats=0,
            final_epochs=1,
            final_seeds=1,
            gains=False,
            distill=distill,
            precision=precision,
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
    "uniform · l1 · plain": partial(uniform, "l1", "plain"),
    "uniform · thinet · reconstruct": partial(uniform, "thinet", "reconstruct"),
    "uniform · obs · reconstruct": partial(uniform, "obs", "reconstruct"),
    "solved · obs · reconstruct": _solved,
}
OURS |= {
    "uniform · thinet · reconstruct" + DISTILLED: OURS["uniform · thinet · reconstruct"],
    "solved · obs · reconstruct" + DISTILLED: _solved,
}
PEERS: dict[str, Contender] = {
    f"torch-pruning · {scope} · {criterion}": partial(_peer, criterion, scope)
    for criterion in CRITERIA
    for scope in SCOPES
}
SEARCHED = "searched · obs · reconstruct"


def contenders(precision: str) -> dict[str, Contender]:
    """All of them; searches train in this precision."""
    searched = {
        SEARCHED + ending: partial(_searched, bool(ending), precision) for ending in ("", DISTILLED)
    }
    return OURS | searched | PEERS


def _usual(names: Iterable[str]) -> list[str]:
    """Those of a call without ``--only``: all, but for half of the peer's criteria."""
    return [n for n in names if n not in PEERS or n.endswith(("· l1", "· taylor", "· hessian"))]


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    bench = training_rows.of(args, contenders(args.precision), args.validation_fraction)
    names = _chosen_names(args.only, bench.contenders)
    for row in bench.carry_out([(s, name, args.epochs) for s in args.shares for name in names]):
        print(*row.values(), flush=True)
        _write(bench)
    _write(bench)
    print((bench.folder / "README.md").read_text())


def _chosen_names(only: Sequence[str] | None, every: Iterable[str]) -> list[str]:
    if only is None:
        return _usual(every)
    names = [name for name in every if any(text in name for text in only)]
    if not names:
        raise SystemExit(f"no contender has {' or '.join(only)} in its name: {[*every]}")
    return names


def _write(bench: Trainings) -> None:
    rows = bench.table()
    bench.folder.mkdir(parents=True, exist_ok=True)
    rows.to_csv(bench.folder / "table.csv", index=False)
    (bench.folder / "README.md").write_text("\n".join(_words(rows, bench)) + "\n")


def _words(rows: pd.DataFrame, bench: Trainings) -> Iterator[str]:
    yield "# Equal terms, measured\n"
    yield (
        f"{bench.network} with the given weights, Torch-Pruning {version('torch-pruning')}; "
        f"{cifar.machine(bench.task)}. {training_rows.in_words(bench)}. Best mean first."
    )
    if rows.empty:
        return
    for (images, epochs, share, precision), own in rows.groupby([*training_rows.PLACE[:-1]]):
        passes = f"{epochs} epoch{'s' if epochs > 1 else ''}"
        how = f"{passes} over {images:,} images, {precision}"
        yield f"\n## At most {share:.0%} of the FLOPs, {how}\n"
        yield from _lines(own.sort_values("mean", ascending=False), bench)


def _lines(rows: pd.DataFrame, bench: Trainings) -> Iterator[str]:
    columns = [f"seed {seed}" for seed in bench.seeds]
    others = [f"first at {rate:g}" for rate in bench.rates]
    yield f"| contender | FLOPs kept | rate | {' | '.join([*columns, 'mean', *others])} |"
    yield f"| --- |{' ---: |' * (len(columns) + len(others) + 3)}"
    for _, row in rows.iterrows():
        tested = [row[column] for column in columns]
        cells = [f"{100 * accuracy:.2f}" for accuracy in (*tested, *row[others])]
        cells.insert(len(tested), cifar.mean_and_spread(tested))
        cells = [f"{row.flops:.1%}", f"{row.rate:g}", *cells]
        yield f"| {row.contender} | {' | '.join(cells)} |"


def _arguments() -> argparse.Namespace:
    parser = training_rows.options(__doc__.splitlines()[0], "equal_terms")
    parser.add_argument("--only", nargs="+", help="contenders with one of these in their names")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--validation-fraction", type=float, default=0.04)
    return parser.parse_args()


if __name__ == "__main__":
    main()
