"""Task: what is pruned. A trained model, the splits of its data, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.data.batches import Inputs, InputsOf, any_split
from search.data.custom import image_split
from search.data.splits import Batch, Split
from search.task.amounts import SCORING
from search.training.objective import ACCURACY, Loss, Metric
from search.training.own_loop import TrainLoop, check_loop
from spaces import copied
from spaces.errors import UserError
from spaces.inputs import arguments, call, moved, part


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What is pruned, of any network and any data; `search.build_task` makes one of names.

    A classifier of images, whose batches are ``(images, labels)``, needs no loss and no metric:

    >>> Task(model=model, train=train, validation=validation, test=test)

    Any other network takes batches of any form from a loader, and says what it is trained for and
    judged by. ``loss(outputs, batch)`` and ``metric`` are given the batch as the loader gave it:

    >>> metric = Metric("mean IoU", iou, higher_is_better=True, unit="%")
    >>> Task(model=unet, train=a, validation=b, test=c, loss=dice, metric=metric)

    It can be pickled; ``torch.multiprocessing`` shares the memory of images and weights instead of
    copying it: ``model`` must not be changed in place.

    Args:
        name: what it is called; without one, as the model's class.
        model: the trained network, in eval mode, on ``device``.
        train, validation, test: each a `Split`, or an iterable of batches that has a length, such
            as a ``DataLoader``. ``test`` is read only by networks that are trained to the end.
        example: the model's inputs for one item, a tuple by position or a dict by name; without
            one, those of the first training batch.
        fresh: builds the same architecture with new weights from torch's global generator.
        classes: how many there are; None for a task that does not classify, or to count the
            model's outputs.
        device: without one, that of the model's weights.
        loss: ``loss(outputs, batch)`` → one number; cross-entropy where nothing else is given.
        metric: what networks are judged by; accuracy where nothing else is given.
        inputs: ``inputs(batch)`` → what the model is called with; without it the first of a pair,
            and of a dict what the forward takes by name.
        seed: divides the training images into those of ``calibration`` and of ``held_out``.
        train_loop: ``train_loop(model, epochs, seed)`` trains a pruned network in the place of our
            own loop; see `search.training.own_loop.TrainLoop`. ``train`` is still what channels are
            scored on, and what a training's computation is counted by.
        class_names: by number; empty where they are not known.
        base_epochs: epochs that ``model`` was trained for; None if unknown.

    Raises:
        UserError: a loss without a metric, parts that are no loaders, or a loop that cannot be
            called so.
    """

    model: nn.Module
    train: Split
    validation: Split
    test: Split
    name: str = ""
    example: Any = None
    fresh: Callable[[], nn.Module] | None = None
    classes: int | None = None
    device: torch.device = None  # type: ignore[assignment]
    loss: Loss = None  # type: ignore[assignment]
    metric: Metric = None  # type: ignore[assignment]
    inputs: Inputs | None = None
    train_loop: TrainLoop | None = None
    seed: int = 0
    base_epochs: float | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Fill in what was not given."""
        _check(self.loss, self.metric)
        if self.train_loop is not None:
            check_loop(self.train_loop)
        weight = next(self.model.parameters(), None)
        usual = torch.device("cpu") if weight is None else weight.device
        self._fill("device", usual)
        self._fill("name", type(self.model).__name__.lower())
        if self.loss in (None, F.cross_entropy):
            read = partial(image_split, device=self.device)
        else:
            taken = self.inputs or InputsOf.of(self.model)
            read = partial(any_split, inputs=taken, device=self.device)
        for name in ("train", "validation", "test"):
            object.__setattr__(self, name, read(getattr(self, name), name=name))
        self._fill("loss", F.cross_entropy)
        self._fill("metric", ACCURACY)
        if self.example is None:
            inputs, _ = next(iter(self.train.batches(1)))
            self._fill("example", part(arguments(self.model, inputs), 0, 1))
        if self.classifies and self.classes is None:
            self._fill("classes", _classes(self.model, self.example))

    @property
    def classifies(self) -> bool:
        """Whether batches are ``(images, labels)``, and the network gives a logit for a class."""
        return self.loss is F.cross_entropy

    @property
    def counts_classes(self) -> bool:
        """Whether networks are judged by the images of each class that they classify correctly."""
        return self.classifies and self.metric == ACCURACY

    def calibration(
        self, images: int = SCORING, seed: int = 0, batch_size: int = 64
    ) -> list[Batch]:
        """Training images without augmentation, for scoring channels.

        Drawn by ``seed`` from one half of the training images; fewer if that half has fewer.
        """
        return self._sample(0, images, seed, batch_size)

    def held_out(self, images: int = 1024, seed: int = 0, batch_size: int = 256) -> list[Batch]:
        """Training images for proxies that measure accuracy: from the other half.

        None of them is ever in ``calibration``, whatever the numbers and seeds.
        """
        return self._sample(1, images, seed, batch_size)

    def to(self, device: torch.device) -> Task:
        """The same task on another device: itself if it is there already, else a copy."""
        if device == self.device:
            return self
        return replace(
            self,
            model=copied(self.model).to(device),
            example=moved(self.example, device),
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
            device=device,
        )

    def _sample(self, half: int, images: int, seed: int, batch_size: int) -> list[Batch]:
        pool = self.train.indexable()
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(self.seed))
        indices = order.chunk(2)[half]
        draw = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
        return list(pool.subset(indices[draw[:images]]).batches(batch_size))

    def _fill(self, name: str, value: Any) -> None:
        if getattr(self, name) in (None, ""):
            object.__setattr__(self, name, value)


def _check(loss: Loss | None, metric: Metric | None) -> None:
    if metric is not None and not isinstance(metric, Metric):
        raise UserError(
            "metric must be a search.Metric, which has a name and a direction, but got "
            f"{type(metric).__name__}; give search.Metric(name, measure, higher_is_better=...)"
        )
    if loss not in (None, F.cross_entropy) and metric is None:
        raise UserError(
            "a task with a loss of its own must say what networks are judged by, but has no "
            "metric; give metric=search.Metric(name, measure, higher_is_better=...)"
        )


def _classes(model: nn.Module, example: Any) -> int | None:
    """The outputs for one item, where they can be logits; what is wrong is told by `check_fit`."""
    with suppress(Exception), torch.no_grad():
        logits = call(copied(model).eval(), example)
        if isinstance(logits, Tensor) and logits.dim() == 2:
            return logits.shape[1]
    return None
