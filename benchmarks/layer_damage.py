"""Is the order of layers by damage, after a short training, that after a full one?

    PYTHONPATH=. python benchmarks/layer_damage.py CIFAR --out benchmarks/results/layer_damage

That is the claim of the sensitiveness strategy (importance ``layer_damage``). ``CIFAR`` is a folder
with ``train/<class>/`` and ``val/<class>/``, here the JPEG copy of CIFAR-10; only ``train/`` is
looked at. For each seed one network is trained for ``--epochs`` with an annealed learning rate and
measured on the way, and others are trained for ``--brief`` epochs, each annealed by itself. All are
measured on validation images, by the same random cuts for every network of a seed. ``--weights``
are those of a network of another training, to the end; all are compared with it too. Written into
``OUT``: every damage and every correlation as CSV, ``README.md`` and its figures. Two networks of
different seeds, both after all epochs, say how far any two orders can agree.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from damage_report import END, GIVEN, ONE, OTHER, OWN, report, said
from torch import Tensor, nn

import spaces
from prune_ops import SENSITIVITIES
from results.trust import kendall, spearman
from search import data, models
from search.data.source import Splits
from search.training.hardware import pick_device
from search.training.loop import FROM_SCRATCH, Recipe, train
from search.versions import commit
from spaces import Space, copied

RESAMPLES = 2000
IMPORTANCE = SENSITIVITIES["layer_damage"]


def main() -> None:
    args = _arguments()
    started = time.perf_counter()
    _splits(args, seed=0)  # decoded once, before several processes want it
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        work = pool.map if args.workers > 1 else map
        damages = pd.concat(work(partial(measured, args), range(args.seeds)), ignore_index=True)
    correlations = correlated(damages)
    _write(damages, correlations, args, time.perf_counter() - started)


def measured(args: argparse.Namespace, seed: int) -> pd.DataFrame:
    """One row for each network and group of a seed."""
    splits = _splits(args, seed)
    images = splits.validation.indexable().subset(
        torch.arange(min(args.judged, len(splits.validation)))
    )
    batches = list(images.batches(args.judged_at_once))
    # Built from the first network; the groups are the same for all.
    space = spaces.discover(_fresh(args, splits, seed), (batches[0][0][:1],))
    rows: list[dict[str, object]] = []

    def keep(model: nn.Module, schedule: str, epochs: int, of: int) -> None:
        accuracy, damages = judged(model, space, batches, seed)
        about = {"seed": seed, "schedule": schedule, "epochs": epochs, "of": of}
        rows.extend(
            about | {"accuracy": accuracy, "group": g.name, "channels": g.channels, "damage": d}
            for g, d in zip(space.groups, damages, strict=True)
        )
        print(f"seed {seed}: {epochs} of {of} epochs, accuracy {accuracy:.4f}", flush=True)

    if args.weights:
        given = _fresh(args, splits, seed)
        models.load_weights(given, args.weights)
        keep(given, GIVEN, 0, 0)
    on_the_way = [epochs for epochs in args.checkpoints if epochs < args.epochs]
    for schedule, of, looks in (
        (ONE, args.epochs, [*on_the_way, args.epochs]),
        *((OWN, epochs, [epochs]) for epochs in args.brief),
    ):
        model = _fresh(args, splits, seed)
        each = splits.train.steps(_recipe(args, splits).batch_size)
        wanted = {epochs * each: epochs for epochs in looks}

        def look(step: int, _steps: int) -> None:
            if step in wanted:  # noqa: B023 (called within this turn of the loop)
                keep(model, schedule, wanted[step], of)  # noqa: B023

        train(
            model,
            splits.train,
            _recipe(args, splits),
            epochs=of,
            seed=seed,
            device=_device(args),
            on_step=look,
        )
    return pd.DataFrame(rows)


def judged(
    model: nn.Module, space: Space, batches: Sequence[tuple[Tensor, Tensor]], seed: int
) -> tuple[float, list[float]]:
    """The accuracy of the network and the damage of each group, as importance ``layer_damage``.

    `prune_ops.measure` does the same by surgery. Here, to save time, channels are taken out of one
    copy by zeroing what reads them, which is exact where no layer takes statistics over channels.
    """
    model = copied(model).eval()
    tensors = dict(model.named_parameters())
    whole = _accuracy(model, batches)
    damages = []
    for group in space.groups:
        read = [member for member in group.members if member.kind == "in"]
        originals = [tensors[member.parameter].detach().clone() for member in read]
        cuts = itertools.chain(*IMPORTANCE.ablations(group, np.arange(group.channels), seed))
        falls = []
        for cut in cuts:
            gone = np.setdiff1d(np.arange(group.channels), cut.kept)
            for member, original in zip(read, originals, strict=True):
                positions = torch.from_numpy(member.index[gone].ravel()).to(original.device)
                masked = original.index_fill(member.dim, positions, 0)
                tensors[member.parameter].data.copy_(masked)
            falls.append(whole - _accuracy(model, batches))
        for member, original in zip(read, originals, strict=True):
            tensors[member.parameter].data.copy_(original)
        damages.append(torch.stack(falls).mean().item())
    return whole.item(), damages


@torch.inference_mode()
def _accuracy(model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """On the device, so that nothing waits for it."""
    right = []
    for inputs, targets in batches:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=inputs.is_cuda):
            right.append((model(inputs).argmax(1) == targets).sum())
    return torch.stack(right).sum() / sum(len(targets) for _, targets in batches)


def correlated(damages: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations with the damages after the full training, mean over seeds.

    The interval is a percentile bootstrap over layers, each resample the same for all seeds;
    ``low_seed`` and ``high_seed`` are the ends of Kendall's tau over seeds.
    """
    own = damages[damages.schedule != GIVEN]
    last = (ONE, own.of.max())
    full = own[(own.schedule == ONE) & (own.epochs == own.of)]
    references = {END: _by_seed(full), GIVEN: _by_seed(damages[damages.schedule == GIVEN])}
    found = []
    for network, rows in own.groupby(["schedule", "epochs"], sort=False):
        for name, reference in references.items():
            if reference and not (name == END and network == last):
                pairs = [(x, reference[seed]) for seed, x in _by_seed(rows).items()]
                found.append(_row(network, name, rows.accuracy.mean(), pairs))
    pairs = list(itertools.combinations(references[END].values(), 2))
    if pairs:
        found.append(_row(last, OTHER, full.accuracy.mean(), pairs))
    return pd.DataFrame(found)


def _by_seed(rows: pd.DataFrame) -> dict[int, np.ndarray]:
    return {seed: some.damage.to_numpy() for seed, some in rows.groupby("seed")}


def _row(
    network: tuple[str, int],
    reference: str,
    accuracy: float,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, object]:
    layers = len(pairs[0][0])
    draws = np.random.default_rng(0).multinomial(layers, np.full(layers, 1 / layers), RESAMPLES)
    counts = np.vstack([np.ones(layers), draws])
    row = dict(zip(("schedule", "epochs"), network, strict=True))
    row |= {"with": reference, "accuracy": accuracy, "pairs": len(pairs), "layers": layers}
    for name, correlation in (("kendall", kendall), ("spearman", spearman)):
        values = np.array([correlation(x, y, counts) for x, y in pairs])
        mean = np.nanmean(values, axis=0) if np.isfinite(values).all(0).any() else values[0]
        low, high = np.nanpercentile(mean[1:], [2.5, 97.5])
        row |= {name: mean[0], f"{name}_low": low, f"{name}_high": high}
        row |= {f"{name}_low_seed": values[:, 0].min(), f"{name}_high_seed": values[:, 0].max()}
    return row


def _splits(args: argparse.Namespace, seed: int) -> Splits:
    return data.load(
        f"imagefolder:{args.cifar}",
        seed=seed,
        device=_device(args),
        train_images=args.images,
        cache=Path(args.runs) / ".cache",
    )


def _fresh(args: argparse.Namespace, splits: Splits, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return models.build(args.model, splits.classes, splits.shape[0]).to(_device(args)).eval()


def _device(args: argparse.Namespace) -> torch.device:
    return pick_device(args.device)


def _recipe(args: argparse.Namespace, splits: Splits) -> Recipe:
    """The project's own from scratch, its rate in proportion to the batch."""
    size = min(args.batch_size, len(splits.train))
    lr = FROM_SCRATCH.lr * size / FROM_SCRATCH.batch_size
    return Recipe(lr=lr, warmup=FROM_SCRATCH.warmup, batch_size=size)


def _write(
    damages: pd.DataFrame, correlations: pd.DataFrame, args: argparse.Namespace, seconds: float
) -> None:
    out = Path(args.out)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    damages.to_csv(out / "damages.csv", index=False)
    correlations.to_csv(out / "correlations.csv", index=False)
    device = _device(args)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    settings = (
        f"{args.model}, {correlations.layers.iloc[0]} groups, {args.images or 'all'} training "
        f"images, {args.epochs} epochs, seeds 0 to {args.seeds - 1}, judged by {args.judged} "
        f"validation images; device {name}, commit {commit()}, {seconds:.0f} s."
    )
    text, pictures = report(damages, correlations, args.epochs, settings)
    (out / "README.md").write_text(text)
    for path, svg in pictures.items():
        (out / path).write_text(svg)
    print(settings, *said(correlations, args.epochs), sep="\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar", help="folder with train/<class>/ and val/<class>/")
    parser.add_argument("--weights", help="state_dict of a network trained to the end")
    parser.add_argument("--out", default="benchmarks/results/layer_damage")
    parser.add_argument("--runs", default="runs", help="where decoded images are kept")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--checkpoints", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--brief", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, help="train on so many images (default: all)")
    parser.add_argument("--judged", type=int, default=2000, help="validation images")
    parser.add_argument("--judged-at-once", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=1, help="seeds at once, a process each")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
