"""Training: the loop and the recipes.

The learning rate anneals to zero within the given epochs, and the last epoch counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.running import evaluate_loss
from results.record import NOT_COUNTED, ClassCounts
from search.data.splits import Batch, Split
from search.errors import Diverged
from search.training.averaging import WeightAverage
from search.training.capture import step_of
from search.training.checkpoints import NOT_SAVED, Checkpoint, Saver
from search.training.distillation import Teacher
from search.training.hardware import logits_of, outputs_of, prefer_channels_last
from search.training.modes import ADAMW, AUTO, SGD
from search.training.objective import ACCURACY, Loss, Metric
from spaces.errors import ModelError
from spaces.inputs import part

OnStep = Callable[[int, int], None]
"""``on_step(step, steps)`` after each step, counted from 1; it may raise to stop the training."""

SMALL_SET = 10_000
"""Training sets smaller than this get smaller batches: an epoch would be a handful of steps."""

ADAMW_DECAY = 0.01
"""Of weights, by AdamW: torch's own default."""


@dataclass(frozen=True)
class Recipe:
    """How to train: with a learning rate that rises over ``warmup`` and falls to zero.

    Args:
        lr: the highest learning rate, at ``batch_size``.
        momentum, nesterov: of SGD.
        warmup: share of the steps over which the rate rises linearly; cosine from there on.
        sparsity: lambda of network slimming: an L1 penalty on the scales gamma of BatchNorm, by
            lambda x sign(gamma) added to their gradients at each step. The paper takes 1e-4 for VGG
            and 1e-5 for ResNet. ``weight_decay`` acts on the scales as well, as without it.
            Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017.
        precision: of the forward and backward passes, one of `PRECISIONS`.
        optimizer: one of `OPTIMIZERS`.
        label_smoothing: of the cross-entropy, 0 to 1; another loss is left as it is.
        clip_norm: the most that the norm of all gradients together may be; 0 for no limit.
        ema: decay of a moving average of the weights, with which the training ends; 0 for none. See
            `WeightAverage`.
    """

    lr: float
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    batch_size: int = 128
    warmup: float = 0.0
    sparsity: float = 0.0
    precision: str = AUTO
    optimizer: str = SGD
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0

    def __repr__(self) -> str:
        """As a dataclass has it, but silent on what later versions added and is as by default:
        files are found by it."""
        later = ("optimizer", "label_smoothing", "clip_norm", "ema")
        told = [
            f for f in fields(self) if f.name not in later or getattr(self, f.name) != f.default
        ]
        return f"Recipe({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in told)})"

    def __str__(self) -> str:
        """All but the rate, for people."""
        parts = [f"weight decay {self.weight_decay:g}", f"batches of {self.batch_size}"]
        if self.optimizer == SGD:
            parts = [f"SGD with {'Nesterov ' * self.nesterov}momentum {self.momentum:g}", *parts]
        else:
            parts = ["AdamW", *parts]
        if self.label_smoothing:
            parts.append(f"label smoothing {self.label_smoothing:g}")
        if self.clip_norm:
            parts.append(f"gradients clipped to norm {self.clip_norm:g}")
        if self.ema:
            parts.append(f"weights averaged (EMA, decay {self.ema:g})")
        return ", ".join(parts)

    def by(self, optimizer: str) -> Recipe:
        """The recipe of the same training by another optimizer: AdamW has a tenth of the rate."""
        if optimizer == self.optimizer:
            return self
        return replace(self, optimizer=optimizer, lr=self.lr / 10, weight_decay=ADAMW_DECAY)

    def suited_to(self, images: int) -> Recipe:
        """The recipe for a set of that size: batches of 32 and half the rate if it is small."""
        if images >= SMALL_SET:
            return self
        return replace(self, batch_size=32, lr=self.lr / 2)

    def lr_at(self, step: int, steps: int) -> float:
        """The learning rate of step 0, 1, ... ``steps`` - 1, at the middle of the step."""
        done = (step + 0.5) / steps
        if done < self.warmup:
            return self.lr * done / self.warmup
        return self.lr * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))) / 2


FROM_SCRATCH = Recipe(lr=0.1, warmup=0.1)
FINETUNE = Recipe(lr=0.01)
"""1e-2: at 1e-3, once usual, fine-tuning is underrated."""


def train(
    model: nn.Module,
    split: Split,
    recipe: Recipe,
    *,
    epochs: float,
    seed: int,
    device: torch.device,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint = NOT_SAVED,
    teacher: Teacher | None = None,
    loss: Loss = F.cross_entropy,
    replayed: bool = False,
) -> str:
    """Train ``model`` in place on ``split``; it is left in eval mode.

    >>> train(model, task.train, Recipe(lr=0.1), epochs=2.5, seed=0, device=task.device)

    On the CPU the same seed and number of threads give the same result. The caller's random state
    is not changed. On CUDA: channels_last where the model allows it, and no step waits for the
    device.

    A long training is saved at ``checkpoint`` about once a minute; called again with the same
    arguments it goes on from there; at its end nothing is left there.

    Args:
        epochs: passes over the split, fractions included; at least one step is made.
        teacher: is distilled from, on the same augmented batches; its share of the loss is of
            logits. None for ``loss`` alone.
        replayed: record a step on CUDA and replay it, see `search.training.capture`.

    Returns:
        Why steps that were to be replayed were made anew; empty if they were not.

    Raises:
        Diverged: the loss became NaN or infinite; noticed at the end of an epoch.
        ModelError: sparsity is asked for and no BatchNorm has a scale that is trained.
    """
    steps = max(1, round(epochs * split.steps(recipe.batch_size)))
    model.to(device).train()
    penalised = penalised_scales(model) if recipe.sparsity else []
    optimizer = _optimizer(model, recipe)
    how = recipe if teacher is None else (recipe, teacher.weight, teacher.temperature)
    average = WeightAverage(model, recipe.ema) if recipe.ema else None
    saver = Saver(checkpoint, model, optimizer, how, steps, device, average)
    if recipe.label_smoothing and loss is F.cross_entropy:
        loss = partial(F.cross_entropy, label_smoothing=recipe.label_smoothing)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # of the global generators, which dropout draws from
        begun, epoch = saver.restored()

        def update(batch: Batch) -> Tensor:
            found = _loss(model, optimizer, batch, loss, teacher, recipe.precision)
            _penalise(penalised, recipe.sparsity)
            if recipe.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            return found

        runs = (model, loss) if teacher is None else (model, loss, teacher.model)
        make = step_of(update, runs, optimizer, device, steps - begun, replayed)
        step = begun
        while step < steps:
            total = torch.zeros((), device=device)
            batches = split.batches(recipe.batch_size, augment=True, seed=seed, epoch=epoch)
            for batch in islice(batches, steps - step):
                if step == begun and device.type == "cuda":
                    for network in (model,) if teacher is None else (model, teacher.model):
                        prefer_channels_last(network, part(batch[0], 0, 1))
                total += make(batch, recipe.lr_at(step, steps))
                if average is not None:
                    average.update()
                step += 1
                if on_step is not None:
                    on_step(step, steps)
            epoch += 1
            if not math.isfinite(reached := total.item()):
                raise Diverged(
                    f"the loss became {reached} in epoch {epoch} at learning rate {recipe.lr:g}"
                )
            saver.save_if_due(step, epoch)
    saver.drop()
    if average is not None:
        average.put()
    optimizer.zero_grad(set_to_none=True)  # those that a graph writes would keep its memory
    model.eval().to(memory_format=torch.contiguous_format)
    return make.reason


@torch.inference_mode()
def evaluate(
    model: nn.Module, split: Split, batch_size: int = 256, metric: Metric = ACCURACY
) -> float:
    """The metric of ``model`` in eval mode, higher for a better network; see `Metric.score`.

    >>> evaluate(task.model, task.validation)
    0.9833

    Raises:
        Diverged: outputs are NaN.
    """
    training = model.training
    try:
        return metric.score(model.eval(), split.batches(batch_size))
    finally:
        model.train(training)


@torch.inference_mode()
def count_by_class(model: nn.Module, split: Split, batch_size: int = 256) -> ClassCounts:
    """How ``model`` classifies the images of each class, in eval mode.

    >>> count_by_class(task.model, task.test).right[:3]
    (69, 70, 66)

    A label that no output stands for is counted as one class more, which is never right.

    Raises:
        Diverged: outputs are NaN.
    """
    training = model.training
    model.eval()
    counts: Tensor | None = None
    broken: Tensor | int = 0
    for inputs, targets in split.batches(batch_size):
        logits = logits_of(model, inputs)
        outputs = logits.shape[1]
        if counts is None:  # right, images; nothing here waits for the device
            counts = torch.zeros(2, outputs + 1, dtype=torch.int64, device=logits.device)
        stray = (targets < 0) | (targets >= outputs)
        hits = torch.stack([logits.argmax(dim=1) == targets, torch.ones_like(stray)])
        counts.index_add_(1, targets.masked_fill(stray, outputs), hits.long())
        broken = broken + logits.isnan().any(dim=1).sum()
    model.train(training)
    assert counts is not None  # no split is empty
    right, images = counts.tolist()
    if broken:
        raise Diverged(f"the outputs are NaN for {int(broken)} of {sum(images)} images")
    if not images[-1]:
        right, images = right[:-1], images[:-1]
    return ClassCounts(tuple(right), tuple(images))


def on_test_split(
    model: nn.Module, split: Split, metric: Metric, classifies: bool
) -> tuple[float, ClassCounts]:
    """The score on the test split, and how a classifier did class by class.

    Args:
        classifies: whether the split has images and labels, and the network gives logits.

    Raises:
        Diverged: outputs are NaN.
    """
    counts = count_by_class(model, split) if classifies else NOT_COUNTED
    if counts and metric == ACCURACY:
        return counts.accuracy, counts
    return evaluate(model, split, metric=metric), counts


def penalised_scales(model: nn.Module) -> list[nn.Parameter]:
    """The trained scales of BatchNorm, on which sparsity acts.

    Raises:
        ModelError: there are none.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.affine]
    scales = list({id(m.weight): m.weight for m in norms if m.weight.requires_grad}.values())
    if not scales:
        raise ModelError(
            "sparsity must act on the scales of BatchNorm, but no layer has one that is trained; "
            "leave --sparsity out"
        )
    return scales


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == ADAMW:
        return torch.optim.AdamW(
            model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,  # 0.1 ms a step instead of 0.4 for the digits network: what augmentation takes
    )


def _penalise(scales: Sequence[nn.Parameter], sparsity: float) -> None:
    """Add the gradient of sparsity x the sum of absolute scales, where scales have a gradient."""
    used = [(s.grad, s.detach()) for s in scales if s.grad is not None]
    if used:
        gradients, values = map(list, zip(*used, strict=True))
        torch._foreach_add_(gradients, torch._foreach_sign(values), alpha=sparsity)


def _loss(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    loss: Loss,
    teacher: Teacher | None,
    precision: str,
) -> Tensor:
    """The loss of a batch; its gradients are left at the parameters."""
    inputs, targets = batch
    if teacher is None:
        found = evaluate_loss(loss, outputs_of(model, inputs, precision), targets)
    else:
        answers = teacher.answers(inputs, precision)  # first: its memory is free for the graph
        found = teacher.loss(logits_of(model, inputs, precision), targets, answers, loss)
    optimizer.zero_grad(set_to_none=True)
    found.backward()
    return found.detach()
