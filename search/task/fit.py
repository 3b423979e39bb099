"""Checks of a network, made before anything is trained: it takes the data, and its outputs are what
loss and metric take."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.batches import described
from prune_ops.running import evaluate_loss, forward
from search.data.batches import forms_of
from search.data.splits import TAKES, Batch
from search.errors import Diverged
from search.task.task import Task
from search.training.hardware import logits_of
from search.training.own_loop import told
from spaces import Space, copied
from spaces.errors import DataError, ModelError, UserError, blamed
from spaces.inputs import joined
from spaces.state import plain_state

PROBABLE = 1e-2
"""How far from 1 the sums of outputs may be that are taken for probabilities, in bf16 too."""

Check = Callable[[nn.Module, Space], None]
"""Raises `UserError` for a network, or a space, that cannot be used."""


def savable(model: nn.Module, _space: Space) -> None:
    """Check that the network can be saved: extra state must be tensors and plain values."""
    plain_state(model)


def check_fit(
    model: nn.Module, example: tuple[Any, ...], classes: int, name: str, data: str
) -> None:
    """Run a copy on one image, and on two in train mode, and check its outputs.

    Args:
        data: names the data in messages: "data 'digits'".

    Raises:
        DataError: the model cannot take the images, or gives no logits or another number of them.
    """
    logits = check_takes(model, example, name, f" of {data}")
    if classes < 2:
        raise DataError(f"{data} must have at least 2 classes, but has {classes}")
    _check_logits(logits, 1, classes, f"model {name!r}", data)
    two = joined([example, example])  # BatchNorm cannot train on one value a channel
    trained = _run(copied(model).train(), two, name, f" of {data} in training")
    _check_logits(trained, 2, classes, f"model {name!r} in training", data)


def check_task(task: Task) -> None:
    """Check that a user's task holds together: network, data, loss and metric.

    Raises:
        UserError: the network does not take the batches, the loss is no number that can be
            differentiated, or the metric is none; each in train mode too where it is trained.
    """
    if task.classifies:
        classes = 2 if task.classes is None else task.classes  # which could not be counted
        check_fit(task.model, task.example, classes, task.name, "the task")
        if task.counts_classes:
            return
    model = copied(task.model)
    for training in (False, True):
        inputs, batch = next(iter(task.train.batches(64)))
        with torch.enable_grad():
            loss = evaluate_loss(task.loss, forward(model.train(training), inputs), batch)
        where = "in train mode" if training else "in eval mode"
        if not loss.isfinite():
            raise UserError(
                f"the loss must be finite, but for the first training batch it is {loss.item()} "
                f"{where}; check the loss, the weights and the data"
            )
        if not loss.requires_grad:
            raise UserError(
                "the loss must depend on the weights, but what it returns has no gradient "
                f"{where}; return it without detach() or item()"
            )
    model.eval()
    with torch.inference_mode():
        value = task.metric.score(model, islice(task.validation.batches(64), 1))
    if not math.isfinite(value):
        raise UserError(
            f"metric {task.metric.name!r} must be a finite number, but for the first validation "
            f"batch it is {value}; check the metric and the weights"
        )

    def trains(inputs: Any, batch: Any) -> None:
        evaluate_loss(task.loss, forward(model, inputs), batch)

    def judges(inputs: Any, batch: Any) -> None:
        forward(model, inputs)  # which says what fails in the network
        task.metric.score(model, [(inputs, batch)])

    _check_forms(task, ("train",), trains)
    _check_forms(task, ("validation", "test"), judges)


def _check_forms(task: Task, parts: Sequence[str], takes: Callable[[Any, Any], None]) -> None:
    """Check that every form in which batches of these parts come is taken; the first one was."""
    forms: dict[str, tuple[str, Batch]] = {}
    for part in parts:
        for form, pair in forms_of(getattr(task, part)).items():
            forms.setdefault(form, (part, pair))
    shown = [described(batch) for _, (_, batch) in forms.values()]
    for came, (part, pair) in zip(shown[1:], [*forms.values()][1:], strict=True):
        try:
            with torch.no_grad():
                takes(*pair)
        except (UserError, Diverged) as error:
            raise DataError(
                f"batches of {part} must be of one form, or each be taken, but besides {shown[0]} "
                f"there is {came}: {error}"
            ) from error


def check_takes(model: nn.Module, example: tuple[Any, ...], name: str, of: str = "") -> Any:
    """The output of a copy in eval mode for one image; a DataError if there is none.

    Args:
        of: names the data in messages: " of data 'digits'".
    """
    if not isinstance(example, tuple) or len(example) != 1 or not isinstance(example[0], Tensor):
        raise DataError(f"model {name!r} must take one image, but its example is another; {TAKES}")
    return _run(copied(model).eval(), example, name, of)


def check_teacher(task: Task) -> None:
    """Check that the unpruned network can be distilled from, on the images that score channels.

    Raises:
        ModelError: its outputs are not finite, or are probabilities instead of logits.
    """
    instead = "or do without distillation"
    if task.train_loop is not None:
        raise UserError(
            f"distillation is of our own training loop, but {told(task.train_loop)} trains in its "
            "place; leave distillation out, or have that distil"
        )
    if not task.classifies:
        raise UserError(
            "distillation takes a classifier, whose logits are learnt, but the task has a loss of "
            "its own; leave --distill out"
        )
    model = copied(task.model).eval()
    with torch.inference_mode():
        outputs = torch.cat([logits_of(model, images) for images, _ in task.calibration()])
    if broken := int((~outputs.isfinite().all(dim=1)).sum()):
        raise ModelError(
            f"the unpruned network must give finite logits to be distilled from, but for {broken} "
            f"of {len(outputs)} training images it gives NaN or infinity; give other weights, "
            f"{instead}"
        )
    if (outputs >= 0).all() and ((outputs.sum(dim=1) - 1).abs() < PROBABLE).all():
        raise ModelError(
            "the unpruned network must give logits to be distilled from, but its outputs are "
            "probabilities, which are never negative and add up to 1; leave out the softmax at its "
            f"end, {instead}"
        )


def _run(model: nn.Module, images: tuple[Any, ...], name: str, of: str) -> Any:
    devices = [images[0].device] if images[0].is_cuda else []
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again when the run begins
            return model(*images)
    except Exception as error:  # a user's model may raise anything
        hint = _other_type(model) or f"choose another model or image size ({TAKES})"
        raise DataError(
            f"model {name!r} must take images {tuple(images[0].shape[1:])}{of}, but it fails with "
            f"{blamed(error)}; {hint}"
        ) from error


def _other_type(model: nn.Module) -> str:
    """What to do about a network that is not of float32, as images are; empty if it is."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            return f"images are float32 and {name} is {kind}: give model.float()"
    return ""


def _choices(logits: Tensor, classes: int) -> str:
    outputs = logits.shape[1]
    more = f"say --classes {outputs} if there are so many, or " if outputs > classes else ""
    return f"{more}choose another model or data"


def _check_logits(logits: Any, images: int, classes: int, model: str, data: str) -> None:
    if isinstance(logits, Tensor) and logits.shape == (images, classes):
        if logits.isnan().any():
            raise DataError(
                f"{model} must give numbers, but for an image of {data} it gives NaN; "
                "check its forward pass and its weights"
            )
        return
    wrong = isinstance(logits, Tensor) and logits.dim() == 2
    kind = described(logits) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    many = "one image" if images == 1 else f"{images} images"
    raise DataError(
        f"{model} must give {classes} outputs, one a class of {data}, but for {many} it gives "
        f"{kind}; " + (_choices(logits, classes) if wrong else TAKES)
    )
