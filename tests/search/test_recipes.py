"""What a recipe may have beyond SGD: AdamW, label smoothing, clipping and a moving average, each
against a plain loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import loops
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import search
from search.config import SearchConfig
from search.data.splits import TensorSplit
from search.errors import Diverged
from search.plans.sweep import TRIED
from search.training import checkpoints
from search.training.averaging import WeightAverage
from search.training.checkpoints import Checkpoint, InFolder
from search.training.distillation import Teacher
from search.training.loop import FINETUNE, Recipe, train
from search.training.specs import Specs
from spaces import Space, UserError

CPU = torch.device("cpu")
RECIPE = Recipe(lr=0.05, batch_size=8)
STEPS = 12
"""One and a half epochs."""


def split() -> TensorSplit:
    """Two classes that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    noise = torch.randint(0, 100, (64, 1, 6, 6), generator=generator)
    return TensorSplit(
        (noise + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels, (0.4,), (0.3,)
    )


def network() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(64, 2))


def by_recipe(recipe: Recipe = RECIPE, **options: Any) -> nn.Sequential:
    model = network()
    train(model, split(), replace(recipe, **options), epochs=1.5, seed=3, device=CPU)
    return model


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Of the labels mixed with the same share of every class."""
    wanted = F.one_hot(targets, 2) * (1 - smoothing) + smoothing / 2
    return -(wanted * logits.log_softmax(1)).sum(1).mean()


def by_hand(
    optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    smoothing: float = 0.0,
    before: Callable[[nn.Module], object] = lambda _: None,
    after: Callable[[nn.Module], object] = lambda _: None,
) -> nn.Sequential:
    """A plain loop over the same batches.

    Args:
        before, after: called before and after every step of the optimizer.
    """
    model, data = network(), split()
    moving = optimizer(model)
    peak = moving.param_groups[0]["lr"]
    batches = [b for epoch in (0, 1) for b in data.batches(8, augment=True, seed=3, epoch=epoch)]
    for step, (x, y) in enumerate(batches[:STEPS]):
        moving.param_groups[0]["lr"] = peak * (1 + math.cos(math.pi * (step + 0.5) / STEPS)) / 2
        moving.zero_grad()
        cross_entropy(model(x), y, smoothing).backward()
        before(model)
        moving.step()
        after(model)
    return model


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.05, 0.9, nesterov=True, weight_decay=5e-4)


def near(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs)


def test_adamw_is_torchs_with_its_usual_decay_at_a_tenth_of_the_rate() -> None:
    recipe = RECIPE.by("adamw")
    assert recipe.lr == pytest.approx(0.005)
    plain = by_hand(lambda model: torch.optim.AdamW(model.parameters(), 0.005))
    assert near(by_recipe(recipe), plain)
    assert RECIPE.by("sgd") == RECIPE


def test_labels_are_smoothed_as_by_hand() -> None:
    plain = by_hand(sgd, smoothing=0.2)
    assert near(by_recipe(label_smoothing=0.2), plain)
    assert not near(by_recipe(), plain)


def test_of_distillation_the_labels_are_smoothed_not_the_answers() -> None:
    logits, targets = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    answers = torch.randn(5, 2).log_softmax(1)
    teacher = Teacher(nn.Identity(), 0.6, 2.0)
    smooth = teacher.loss(logits, targets, answers, lambda a, b: cross_entropy(a, b, 0.2))
    difference = cross_entropy(logits, targets, 0.2) - cross_entropy(logits, targets)
    torch.testing.assert_close(smooth - teacher.loss(logits, targets, answers), 0.4 * difference)

    def trained(smoothing: float) -> nn.Module:
        model, recipe = network(), replace(RECIPE, label_smoothing=smoothing)
        how = {"epochs": 1, "seed": 0, "device": CPU, "teacher": Teacher(network(), 0.6, 2.0)}
        train(model, split(), recipe, **how)
        return model

    assert not near(trained(0.2), trained(0.0))


def test_the_norm_of_all_gradients_together_is_clipped() -> None:
    norms: list[float] = []

    def clip(model: nn.Module) -> None:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norms.append(sum(float((g**2).sum()) for g in gradients) ** 0.5)
        for gradient in gradients:
            gradient *= min(1.0, 0.1 / norms[-1])

    plain = by_hand(sgd, before=clip)
    assert max(norms) > 0.1
    assert near(by_recipe(clip_norm=0.1), plain)
    assert not near(by_recipe(), plain)


@pytest.mark.parametrize("decay", [0.5, 0.2, 0.999])
def test_the_moving_average_by_hand(decay: float) -> None:
    """Of weights and running statistics; its first steps count for more."""

    def tensors(model: nn.Module) -> list[Tensor]:
        return [t for t in model.state_dict().values() if t.is_floating_point()]

    averages = [t.double() for t in tensors(network())]
    steps: list[int] = []

    def average(model: nn.Module) -> None:
        steps.append(len(steps) + 1)
        d = min(decay, (1 + steps[-1]) / (10 + steps[-1]))
        pairs = zip(averages, tensors(model), strict=True)
        averages[:] = [d * mean + (1 - d) * t for mean, t in pairs]

    by_hand(sgd, after=average)
    model = by_recipe(ema=decay)
    for wanted, found in zip(averages, tensors(model), strict=True):
        assert torch.allclose(wanted.float(), found, rtol=1e-3, atol=1e-5)
    assert model[1].num_batches_tracked == STEPS  # which is no average


def test_a_mask_of_infinities_stays_what_it_is() -> None:
    model = network()
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    average = WeightAverage(model, 0.9)
    average.update()
    average.put()
    assert model.mask.tolist() == [0.0, -math.inf]


def test_a_training_that_is_cut_short_goes_on_with_its_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    recipe = replace(RECIPE.by("adamw"), ema=0.9, clip_norm=1.0, label_smoothing=0.1)

    def trained(cut: int | None = None) -> nn.Module:
        def on_step(step: int, _: int) -> None:
            if step == cut:
                raise Diverged("here")

        model, kept = network(), Checkpoint(InFolder(tmp_path), "key")
        how = {"seed": 3, "device": CPU, "on_step": on_step, "checkpoint": kept}
        train(model, split(), recipe, epochs=3, **how)
        return model

    with pytest.raises(Diverged):
        trained(cut=20)
    resumed, whole = trained().state_dict(), trained().state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_recipe_that_is_as_ever_is_named_as_ever() -> None:
    """Trained networks are found in the cache by it."""
    assert repr(FINETUNE) == (
        "Recipe(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.0005, batch_size=128, "
        "warmup=0.0, sparsity=0.0, precision='auto')"
    )
    assert repr(replace(FINETUNE, ema=0.9)).endswith("precision='auto', ema=0.9)")


def test_a_run_has_the_recipe_that_its_options_say(space: Space) -> None:
    options = {"label_smoothing": 0.1, "clip_norm": 2.0, "ema": 0.99, "batch_size": 64}
    specs = Specs(SearchConfig.of(optimizer="adamw", **options), space, images=50_000)
    spec = specs.in_mode(space.full, 3)
    recipe = specs.recipe(spec)
    assert spec.lr == pytest.approx(FINETUNE.lr / 10)
    assert str(recipe) == (
        "AdamW, weight decay 0.01, batches of 64, label smoothing 0.1, gradients clipped to norm "
        "2, weights averaged (EMA, decay 0.99)"
    )
    assert [10 * rate for rate in TRIED["adamw"]] == pytest.approx(TRIED["sgd"])


def test_only_a_cross_entropy_has_labels_to_smooth(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is of the cross-entropy, but the task's own loss is in"):
        search.search(loops.plain(), 0.5, runs_dir=str(tmp_path), label_smoothing=0.1)
    with pytest.raises(UserError, match="is of the cross-entropy, but --loss a:b is in its place"):
        SearchConfig.of(label_smoothing=0.1, loss="a:b", metric="a:c")
