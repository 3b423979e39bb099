"""Calibration: one pass over a few batches serves all criteria."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from prune_ops.batches import Pair
from prune_ops.collecting import collect, observing
from prune_ops.collectors import CURVATURE, GRADIENT, OUTPUTS
from prune_ops.collectors.collector import Loss, NoCurvature, NoGradients, Subject
from prune_ops.criteria import CRITERIA
from prune_ops.criterion import Calibrated, CalibrationStats, Criterion
from prune_ops.running import forward
from prune_ops.scores import Scores, mapped
from prune_ops.sensitivities import SENSITIVITIES
from spaces import Space
from spaces.errors import UserError, unknown
from spaces.inputs import Inputs, tensors

DIFFERENTIATED = GRADIENT.keys() | CURVATURE.keys() | OUTPUTS.keys()
"""Fields that need gradients."""

SUGGESTED = ("l1", "fpgm", "taylor_2019", "second_order")
"""Suggested where a criterion cannot judge the network; the first two suit any network."""


def score(
    model: nn.Module,
    space: Space,
    batches: Iterable[Pair],
    criteria: Sequence[str],
    loss: Loss = cross_entropy,
    seed: int = 0,
    stats: CalibrationStats | None = None,
) -> dict[str, Scores]:
    """Each criterion's scores of every channel.

    >>> scores = score(model, space, task.calibration(), ["l1", "second_order"])  # doctest: +SKIP
    >>> scores["l1"]["layer1.conv1"]                                              # doctest: +SKIP
    tensor([0.9, 0.4, …])                              # (channels,), float32, CPU, higher = keep

    Scores of a criterion do not depend on which others are computed.

    Args:
        model: the unpruned network; a copy is evaluated in eval mode, so it stays unchanged.
        space: its prunable groups.
        batches: ``(inputs, targets)`` on the model's device, of any sizes; read once, and only if
            some criterion needs data. Inputs are a tensor, a tuple of positional ones or a dict by
            name; where their first dim is no batch (``space.batched``) each pair is one item.
        criteria: names in ``CRITERIA``.
        loss: ``loss(outputs, targets)`` → scalar, a mean over the batch; the outputs are the
            network's, a dict say.
        seed: for criteria that draw.
        stats: of `statistics` for these criteria, if there are any; batches are not read then.

    Raises:
        UserError: no list, an unknown criterion, one that cannot judge this network or lacks
            images, batches that are none, a loss that does not fit, or scores that are not finite.
        ModelError: the network does not run on the batches.
    """
    if isinstance(criteria, str):
        raise UserError(f"criteria must be a list of names, but got a string; use [{criteria!r}]")
    if not isinstance(criteria, Collection) or not all(isinstance(n, str) for n in criteria):
        raise UserError(f'criteria must be a list of names, but got {criteria!r}; use ["l1"]')
    chosen = [_criterion(name) for name in criteria]
    if stats is None:
        stats = statistics(model, space, batches, criteria, loss, seed)
    return {c.name: _checked(c.name, c(space.groups, stats)) for c in chosen}


def statistics(
    model: nn.Module,
    space: Space,
    batches: Iterable[Pair],
    names: Collection[str],
    loss: Loss = cross_entropy,
    seed: int = 0,
) -> CalibrationStats:
    """What `score` and `measure` need for these criteria and sensitivities, by one pass for all.

    >>> names = ["obs", "repaired_damage"]                                        # doctest: +SKIP
    >>> stats = statistics(model, space, task.calibration(), names)               # doctest: +SKIP
    >>> scores = score(model, space, (), ["obs"], stats=stats)                    # doctest: +SKIP

    Args and Raises: as `score`.
    """
    chosen = [_calibrated(name) for name in names]
    check_criteria(names, model, space)
    if not (required := _required(chosen)):
        return CalibrationStats(model, seed)
    with _explaining(chosen, model, space):
        stats, images = collect(model, space, batches, required, loss, seed)
    _check_images(chosen, space, images)
    return stats


def check_criteria(
    names: Iterable[str],
    model: nn.Module,
    space: Space,
    images: int | None = None,
    example: Inputs | None = None,
) -> None:
    """Refuse criteria, or sensitivities, that cannot judge this network, before anything is trained
    or measured.

    >>> check_criteria(["bn_scale", "apoz"], model, space, images=256)         # doctest: +SKIP

    Args:
        images: number of calibration images, if known.
        example: the model's inputs for one image; if given, the first and second derivatives that
            a criterion needs are tried out.

    Raises:
        ModelError: the network does not run on the example.
        UserError: a criterion needs what the network lacks, or more images; others are suggested.
    """
    chosen = [_calibrated(name) for name in names]
    for criterion in chosen:
        if lacking := criterion.lacks(model, space):
            raise _refusal(criterion, lacking, model, space)
    if images is not None:
        _check_images(chosen, space, images)
    required = _required(chosen)
    if example is not None and required & DIFFERENTIATED:
        with _explaining(chosen, model, space):
            _check_derivatives(model, space, example, required)


@torch.enable_grad()
def _check_derivatives(
    model: nn.Module, space: Space, example: Inputs, required: frozenset[str]
) -> None:
    """Raise NoGradients unless the outputs have the required first and second derivatives."""
    subject = Subject(model, space)
    curvature = [CURVATURE[name](subject) for name in required & CURVATURE.keys()]
    with observing(curvature, 1):
        outputs = tensors(forward(subject.model, example))
        squares = [output.square().sum() for output in outputs if output.is_floating_point()]
        if not squares:
            raise NoGradients("its outputs hold no tensor of real numbers")
        gradients = subject.gradients(torch.stack(squares).sum(), bool(curvature))
    for collector in curvature:
        collector.image(gradients)


def _criterion(name: str) -> Criterion:
    if name not in CRITERIA:
        raise unknown("criterion", name, CRITERIA)
    return CRITERIA[name]


def _calibrated(name: str) -> Calibrated:
    return SENSITIVITIES[name] if name in SENSITIVITIES else _criterion(name)


def _required(criteria: Iterable[Calibrated]) -> frozenset[str]:
    return frozenset[str]().union(*(criterion.requires for criterion in criteria))


def _check_images(criteria: Iterable[Calibrated], space: Space, images: int) -> None:
    for criterion in criteria:
        if images < (least := criterion.fewest_images(space)):
            raise UserError(
                f"{criterion.kind} {criterion.name!r} needs at least {least} calibration images, "
                f"but got {images}; give more training data, or use l1 or fpgm"
            )


@contextmanager
def _explaining(criteria: Iterable[Calibrated], model: nn.Module, space: Space) -> Iterator[None]:
    """Missing derivatives come out as the refusal of the first criterion that needs them."""
    try:
        yield
    except NoGradients as error:
        twice = isinstance(error, NoCurvature)
        needed = CURVATURE.keys() if twice else DIFFERENTIATED
        criterion = next(c for c in criteria if c.requires & needed)
        what = "second derivatives" if twice else "gradients"
        lacking = f"{what} of the loss by the weights, but there are none ({error})"
        raise _refusal(criterion, lacking, model, space) from error


def _refusal(criterion: Calibrated, lacking: str, model: nn.Module, space: Space) -> UserError:
    """Suggests criteria that would work here."""
    fit = [CRITERIA[name] for name in SUGGESTED if not CRITERIA[name].lacks(model, space)]
    names = [c.name for c in fit if not (c.requires & DIFFERENTIATED and "gradients" in lacking)]
    use = f"{', '.join(names[:-1])} or {names[-1]}"
    return UserError(f"{criterion.kind} {criterion.name!r} needs {lacking}; use {use}")


def _checked(criterion: str, scores: Scores) -> Scores:
    """The scores as float32 on the CPU, if all are finite."""
    plain = mapped(scores, lambda values: values.detach().float().cpu())
    if broken := [name for name, values in plain.items() if not values.isfinite().all()]:
        raise UserError(
            f"scores must be finite, but {criterion!r} gave nan or inf in {', '.join(broken[:3])}; "
            "check that the weights and the calibration images are finite"
        )
    return plain
