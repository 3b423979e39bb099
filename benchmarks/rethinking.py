"""Fine-tune or from scratch? ResNet-20 on the JPEG copy of CIFAR-10, all arms, every structure.

    PYTHONPATH=. python benchmarks/rethinking.py CIFAR --out benchmarks/results/rethinking

``CIFAR`` is a folder with ``train/<class>/`` and ``val/<class>/``. The unpruned network is trained
here, for as long as Scratch-E, so that every arm's computation can be counted. Called again with
the same ``--runs`` it goes on where it was cut short; with more ``--structures`` it adds them.
The defaults ask for a GPU; a run on two cores needs ``--images``, ``--base-epochs`` and the like.
Written are the tables as CSV and the verdict as ``README.md``, into the folder ``OUT``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

import results
import search
from results.contrasts import verdict
from results.reporting.blocks import Document
from results.reporting.markdown import markdown
from results.reporting.sections import section
from search.comparison.config import STRUCTURES
from search.folder import finished
from search.task.task import Task


def main() -> None:
    args = _arguments()
    task = _task(args)
    name = f"rethinking-{args.images or 'all'}-{args.base_epochs}"
    folder = Path(args.runs) / name
    if not finished(folder):
        search.search(
            task,
            budget=args.budgets,
            trials=args.trials,
            rungs=args.rungs,
            explore=0.1,
            final_epochs=args.finetune_epochs,
            final_seeds=1,
            workers=args.workers,
            runs_dir=args.runs,
            name=name,
        )
    run = search.compare(
        folder,
        task,
        seeds=args.seeds,
        structures=args.structures,
        front=1,
        finetune_epochs=args.finetune_epochs,
        base_epochs=args.base_epochs,
        sweep_epochs=args.sweep_epochs,
        slimming_sparsity=args.slimming_sparsity,
        workers=args.workers,
    )
    _write(run, task, args)


def _task(args: argparse.Namespace) -> Task:
    task = search.build_task(
        "resnet20",
        f"imagefolder:{args.cifar}",
        train_images=args.images,
        baseline_epochs=args.base_epochs,
        validation_fraction=args.validation_fraction,
        cache=Path(args.runs) / ".cache",
    )
    if args.test_images is None:
        return task
    # A part of the test images, the same for every network; drawn, as the files lie class by class.
    drawn = torch.randperm(len(task.test), generator=torch.Generator().manual_seed(0))
    return replace(task, test=task.test.indexable().subset(drawn[: args.test_images]))


def _write(run: results.Run, task: Task, args: argparse.Namespace) -> None:
    """The tables as they are, and the comparison as Markdown with its figures."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("comparison", "contrasts", "sweep", "trials"):
        getattr(run, name).to_csv(out / f"{name}.csv", index=False)
    words = (
        f"ResNet-20, {len(task.train):,} training images, {len(task.test):,} test images; the "
        f"unpruned network and Scratch-E {args.base_epochs} epochs, fine-tuning "
        f"{args.finetune_epochs}, {args.trials} trials of up to {args.rungs[-1]} epochs; "
        f"device {run.provenance.device}, commit {run.provenance.commit}."
    )
    document = Document("Rethinking pruning, measured", words, [section("comparison", run)])
    text, pictures = markdown(document, "figures")
    (out / "README.md").write_text(text)
    for path, svg in pictures.items():
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_text(svg)
    print(words, *verdict(run.compared), sep="\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar", help="folder with train/<class>/ and val/<class>/")
    parser.add_argument("--out", default="benchmarks/results/rethinking")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--budgets", nargs="+", default=["0.5", "0.3"])
    parser.add_argument("--structures", nargs="+", default=list(STRUCTURES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--rungs", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--base-epochs", type=int, default=60)
    parser.add_argument("--finetune-epochs", type=int, default=20)
    parser.add_argument("--sweep-epochs", type=int)
    parser.add_argument("--slimming-sparsity", type=float, default=1e-4)
    parser.add_argument("--images", type=int, help="train on so many images (default: all)")
    parser.add_argument("--test-images", type=int, help="test on so many images (default: all)")
    parser.add_argument("--validation-fraction", type=float)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
