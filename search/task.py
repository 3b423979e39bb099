"""Task: what is pruned. A trained model, the splits of its data, and where they live."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from search import data as sources
from search import models
from search.baseline import EPOCHS, baseline, seeded
from search.data.source import Progress, Splits, silent
from search.data.splits import Batch, Split
from search.fit import check_fit
from search.hardware import pick_device
from search.models.weights import read_state_dict
from spaces import copied

CACHE = Path("runs/.cache")

BeforeTraining = Callable[[nn.Module, tuple[Tensor, ...], int], None]

SCORING = 256
"""Images from which criteria score channels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What is pruned.

        task = build_task("digits_cnn", "digits")
        space = spaces.discover(task.model, task.example)

    It can be pickled; through ``torch.multiprocessing`` the images travel as shared memory, not
    as copies, and so do the weights: nobody may change ``model`` in place.

    Args:
        model: the trained network, in eval mode, on ``device``.
        fresh: builds the same architecture with new weights from torch's global generator.
        example: the model's inputs for one image: a real one, (1, C, H, W).
        test: read once, by finished networks.
        seed: parts the training images into those of ``calibration`` and of ``held_out``.
        base_epochs: how long ``model`` was trained; None if that is not known.
    """

    name: str
    model: nn.Module
    fresh: Callable[[], nn.Module]
    example: tuple[Tensor, ...]
    train: Split
    validation: Split
    test: Split
    classes: int
    device: torch.device
    seed: int = 0
    base_epochs: float | None = None

    def calibration(
        self, images: int = SCORING, seed: int = 0, batch_size: int = 64
    ) -> list[Batch]:
        """Training images without augmentation, for scoring channels.

        Drawn by ``seed`` from one half of the training images; fewer if that half has fewer.
        """
        return self._sample(0, images, seed, batch_size)

    def held_out(self, images: int = 1024, seed: int = 0, batch_size: int = 256) -> list[Batch]:
        """Training images for proxies that measure accuracy: from the other half.

        No image of it is ever in ``calibration``, whatever numbers and seeds are asked for.
        """
        return self._sample(1, images, seed, batch_size)

    def to(self, device: torch.device) -> Task:
        """The same task on another device: itself if that is where it is, else a copy."""
        if device == self.device:
            return self
        return replace(
            self,
            model=copied(self.model).to(device),
            example=tuple(tensor.to(device) for tensor in self.example),
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
            device=device,
        )

    def _sample(self, half: int, images: int, seed: int, batch_size: int) -> list[Batch]:
        pool = self.train.indexable()
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(self.seed))
        mine = order.chunk(2)[half]
        draw = torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))
        return list(pool.subset(mine[draw[:images]]).batches(batch_size))


def calibration_sizes(train_images: int, images: int, batch_size: int) -> list[int]:
    """The size of every batch that ``Task.calibration`` gives of so many training images.

    >>> calibration_sizes(300, images=256, batch_size=64)
    [64, 64, 22]
    """
    found = min(images, -(-train_images // 2))
    return [min(batch_size, found - start) for start in range(0, found, batch_size)]


def build_task(
    model: str = "digits_cnn",
    data: str = "digits",
    *,
    weights: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    validation_fraction: float | None = None,
    train_images: int | None = None,
    image_size: int | None = None,
    baseline_epochs: float = EPOCHS,
    sparsity: float = 0.0,
    cache: Path = CACHE,
    progress: Progress = silent,
    before_training: BeforeTraining | None = None,
) -> Task:
    """The task of these names: data loaded, weights loaded or the baseline trained.

    >>> build_task("resnet20", "imagefolder:cifar", weights="resnet20.pt", device="cpu").classes
    10

    Args:
        model: a name of ``search.models``.
        data: a name of ``search.data``.
        weights: file of a ``state_dict``; without one the baseline is trained and cached.
        seed: of the validation cut, the subset, the fresh weights and the baseline's training.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        validation_fraction: of the training images; None for the data's own (a tenth, mostly).
        train_images: train on a seeded subset of so many images; None for all.
        image_size: side in pixels, where the data leaves a choice.
        sparsity: L1 penalty on the scales of BatchNorm while the baseline is trained.
        cache: folder for downloads, decoded images and baselines.
        progress: told of what takes time.
        before_training: called with the network, with ``weights`` if they were given and else
            fresh, an example of its input, and the number of training images; what it raises ends
            the call.

    Raises:
        DataError: data or weights are missing, damaged or do not fit the model.
        ModelError: the baseline does not train.
        UserError: an unknown name or device.
    """
    models.check(model)
    sources.check(data)
    if weights is not None:
        read_state_dict(weights)  # a wrong path is told before the data is read
    on = pick_device(device)
    splits = sources.load(
        data,
        seed=seed,
        device=on,
        validation_fraction=validation_fraction,
        train_images=train_images,
        image_size=image_size,
        cache=cache,
        progress=progress,
    )
    fresh = partial(models.build, model, splits.classes, splits.shape[0])
    network = seeded(fresh, seed).to(on).eval()
    images = _unlike_images(splits)
    for image in images:
        check_fit(network, (image,), splits.classes, model, f"data {data!r}")
    if weights is not None:
        models.load_weights(network, weights)
    if before_training is not None:
        before_training(network, (images[0],), len(splits.train))
    if weights is None:
        network = baseline(
            network,
            splits,
            name=f"{model} {data}",
            seed=seed,
            device=on,
            folder=cache / "baselines",
            epochs=baseline_epochs,
            sparsity=sparsity,
            progress=progress,
        )
    return Task(
        name=_slug(f"{model}-{data}"),
        model=network,
        fresh=fresh,
        example=(images[0],),
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        classes=splits.classes,
        device=on,
        seed=seed,
        base_epochs=baseline_epochs if weights is None else None,
    )


def _unlike_images(splits: Splits) -> list[Tensor]:
    """The first image of validation, and of train and test where those have other shapes."""
    found: dict[tuple[int, ...], Tensor] = {}
    for split in (splits.validation, splits.train, splits.test):
        image = next(iter(split.batches(1)))[0][:1]
        found.setdefault(tuple(image.shape), image)
    return list(found.values())


def _slug(text: str) -> str:
    """A name fit for a folder: ``resnet20-imagefolder-cifar``; of a path, its last part."""
    text = re.sub(r":.*/(?=[^/])", ":", text.rstrip("/"))
    return re.sub(r"[^\w.]+", "-", text).strip("-")
