"""Whether a network is what a search takes: one image tensor in, one logit a class out."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from prune_ops.batches import described
from search.data.splits import TAKES
from spaces import copied
from spaces.errors import DataError, brief
from spaces.inputs import joined


def check_fit(
    model: nn.Module, example: tuple[Any, ...], classes: int, name: str, data: str
) -> None:
    """Run one image, then two in train mode, so that what does not fit is told apart from bugs.

    >>> check_fit(model, task.example, task.classes, task.name, "the task")      # doctest: +SKIP

    It is a copy that is run.

    Args:
        data: what the images are of, "data 'digits'" say.

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


def check_takes(model: nn.Module, example: tuple[Any, ...], name: str, of: str = "") -> Any:
    """What a copy in eval mode gives for one image.

    Args:
        of: whose images these are, " of data 'digits'" say.

    Raises:
        DataError: it does not run on that, or the example is more than one image.
    """
    if not isinstance(example, tuple) or len(example) != 1 or not isinstance(example[0], Tensor):
        raise DataError(f"model {name!r} must take one image, but its example is another; {TAKES}")
    return _run(copied(model).eval(), example, name, of)


def _run(model: nn.Module, images: tuple[Any, ...], name: str, of: str) -> Any:
    devices = [images[0].device] if images[0].is_cuda else []
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever goes on hears them then
            return model(*images)
    except Exception as error:  # the model is anybody's, and so is what it raises
        raise DataError(
            f"model {name!r} must take images {tuple(images[0].shape[1:])}{of}, but it fails with "
            f"{brief(error)}; choose another model or image size ({TAKES})"
        ) from error


def _check_logits(logits: Any, images: int, classes: int, model: str, data: str) -> None:
    if isinstance(logits, Tensor) and logits.shape == (images, classes):
        return
    wrong = isinstance(logits, Tensor) and logits.dim() == 2
    kind = described(logits) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    many = "one image" if images == 1 else f"{images} images"
    raise DataError(
        f"{model} must give {classes} outputs, one a class of {data}, but for {many} it gives "
        f"{kind}; " + ("choose another model or data" if wrong else TAKES)
    )
