"""Steps that are replayed: the same training as one whose steps are all made anew."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from devices import needs_cuda
from tape import Operations, Tape
from torch import Tensor, nn

from search.data.batches import AnySplit, InputsOf
from search.data.splits import Augment, Split, TensorSplit
from search.training import capture, checkpoints, loop
from search.training.capture import LEAST_STEPS, WARM_STEPS, CapturedStep, EagerStep, step_of
from search.training.checkpoints import Checkpoint, InFolder
from search.training.distillation import Teacher
from search.training.host_state import changed, host_draws, host_state
from search.training.loop import Recipe, train

CPU = torch.device("cpu")
RECIPE = Recipe(lr=0.05, batch_size=8, warmup=0.2)
STEPS = 8
"""Of an epoch."""

Seen = list[Tensor]
"""Parameters and buffers."""


def split(device: str = "cpu") -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (8 * STEPS, 1, 6, 6), generator=generator).to(torch.uint8)
    labels = torch.arange(len(pixels)) % 2
    return TensorSplit(pixels.to(device), labels.to(device), (0.4,), (0.3,), Augment(1, flip=True))


def network(*more: nn.Module, width: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(1, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), *more
    return nn.Sequential(*first, nn.Dropout(0.5), nn.Flatten(), nn.Linear(16 * width, 2))


def trained(
    *more: Callable[[], nn.Module], data: Split | None = None, epochs: float = 3, **options: Any
) -> tuple[Seen, str]:
    """What training leaves, and why steps were not replayed."""
    model = network(*(make() for make in more))
    options = {"recipe": RECIPE, "seed": 3, "device": CPU, "replayed": True} | options
    reason = train(model, data or split(), epochs=epochs, **options)
    return [*model.parameters(), *model.buffers()], reason


def same(first: Seen, second: Seen) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tape]]:
    """Steps are replayed from now on, from the tapes of this list."""
    made: list[Tape] = []

    def on_tape(update: Any, runs: Any, optimizer: Any, device: Any, *_: Any) -> CapturedStep:
        made.append(Tape(runs[0], optimizer))
        return CapturedStep(update, runs, optimizer, made[-1], device)

    monkeypatch.setattr(loop, "step_of", on_tape)
    return made


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Seen]:
    """What training leaves without replaying."""

    def plainly(*more: Callable[[], nn.Module], **options: Any) -> Seen:
        with monkeypatch.context() as patched:
            patched.setattr(loop, "step_of", step_of)
            return trained(*more, **options)[0]

    return plainly


RECIPES = {
    "plain": RECIPE,
    "sparse": Recipe(lr=0.05, batch_size=8, sparsity=0.01),
    "bfloat16": Recipe(lr=0.05, batch_size=8, precision="bfloat16"),
    "without momentum": Recipe(lr=0.05, batch_size=8, momentum=0.0, nesterov=False),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_weights_bit_for_bit(
    tapes: list[Tape], never: Callable[..., Seen], name: str
) -> None:
    """Dropout and augmentation too draw the same numbers, and the rate follows its schedule."""
    replayed, reason = trained(recipe=RECIPES[name])
    assert reason == ""
    assert same(replayed, never(recipe=RECIPES[name]))
    (tape,) = tapes
    assert (tape.recorded, tape.replayed) == (1, 3 * STEPS - WARM_STEPS)


def test_distillation_is_replayed(tapes: list[Tape], never: Callable[..., Seen]) -> None:
    def teacher() -> Teacher:
        return Teacher(network(width=6).eval(), 0.9, 4.0)

    replayed, reason = trained(teacher=teacher())
    assert reason == ""
    assert tapes[0].replayed
    assert same(replayed, never(teacher=teacher()))


def batches_of(*sizes: int) -> AnySplit:
    """A user's loader; its batches are ``(images, labels)`` and hold the images twice."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(size, 1, 6, 6, generator=generator) for size in sizes]
    loader = [(batch, torch.arange(len(batch)) % 2) for batch in images]
    return AnySplit(loader, InputsOf.of(network()), CPU)


def by_pairs(outputs: Tensor, batch: Any) -> Tensor:
    images, labels = batch
    return F.cross_entropy(outputs * images.mean(), labels)


def test_a_smaller_last_batch_has_its_step_made_anew(
    tapes: list[Tape], never: Callable[..., Seen]
) -> None:
    data = batches_of(8, 8, 8, 8, 5)
    replayed, reason = trained(data=data, loss=by_pairs)
    assert reason == ""
    assert same(replayed, never(data=data, loss=by_pairs))
    (tape,) = tapes
    assert tape.replayed == 15 - WARM_STEPS - 3


def test_a_value_of_the_batch_that_is_no_tensor_is_not_taken_from_an_earlier_one(
    tapes: list[Tape], never: Callable[..., Seen]
) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(8) % 2
    loader = [
        {"images": torch.rand(8, 1, 6, 6, generator=generator), "y": labels, "weight": weight}
        for weight in (1.0, 1.0, 1.0, 1.0, 2.0, 1.0)
    ]
    data = AnySplit(loader, lambda batch: batch["images"], CPU)

    def weighted(outputs: Tensor, batch: Any) -> Tensor:
        return batch["weight"] * F.cross_entropy(outputs, batch["y"])

    replayed, _ = trained(data=data, loss=weighted)
    assert same(replayed, never(data=data, loss=weighted))
    assert tapes[0].replayed == 3 * 6 - WARM_STEPS - 3


@pytest.mark.parametrize("cut", [2, 9, 20])
def test_a_training_cut_short_goes_on_alike(
    tapes: list[Tape],
    never: Callable[..., Seen],
    cut: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    saved = Checkpoint(InFolder(tmp_path), "key")

    def stop(step: int, _steps: int) -> None:
        if step == cut:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=saved, on_step=stop)
    whole = never()
    assert same(trained(checkpoint=saved)[0], whole)
    assert len(tapes) == 2
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=saved, on_step=stop)
    assert same(never(checkpoint=saved), whole)


class Reads(nn.Module):
    """Reads a number back to the host, where something may depend on it."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean().item() < 100 else x.relu()


class Counts(nn.Module):
    """Counts its passes in Python, as a schedule of its own might."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x * (1 + 0.01 * self.passes)


class Average(nn.Module):
    """Puts another tensor in the place of its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean


REASONS = {
    Reads: "recording a step failed with RuntimeError: operation not permitted when stream is",
    Counts: "3.passes changes with every step",
    Average: "3.mean changes with every step",
}


@pytest.mark.parametrize("kind", REASONS)
def test_what_cannot_be_replayed_is_made_anew_and_told(
    tapes: list[Tape], never: Callable[..., Seen], kind: type[nn.Module]
) -> None:
    made_anew, reason = trained(kind)
    assert reason.startswith(REASONS[kind])
    assert tapes[0].replayed == 0
    assert same(made_anew, never(kind))


def test_a_loss_that_changes_from_step_to_step_is_seen() -> None:
    class Annealed:
        weight = 1.0

        def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
            self.weight *= 0.9
            return self.weight * F.cross_entropy(outputs, labels)

    steps = 0

    def counting(outputs: Tensor, labels: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return F.cross_entropy(outputs, labels) / steps

    annealed = Annealed()
    outputs, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    for loss, place in ((annealed, "Annealed.weight"), (counting, "counting.steps")):
        loss(outputs, labels)
        before = host_state((loss,))
        assert changed(before, host_state((loss,))) == ""
        loss(outputs, labels)
        assert changed(before, host_state((loss,))) == f"{place} changes with every step"
    before = host_state((annealed.__call__,))
    annealed(outputs, labels)
    assert changed(before, host_state((annealed.__call__,))).startswith("Annealed.weight")


def test_what_is_written_in_place_is_no_change_of_the_host() -> None:
    model = network()
    before = host_state((model,))
    model(torch.rand(8, 1, 6, 6))
    assert changed(before, host_state((model,))) == ""
    model[0].weight.data = model[0].weight.data.clone()
    assert changed(before, host_state((model,))) == "0.weight changes with every step"


@pytest.mark.parametrize("draw", [random.random, lambda: np.random.rand(), lambda: torch.rand(1)])
def test_random_numbers_of_the_host_are_seen(draw: Callable[[], object]) -> None:
    before = host_draws()
    assert host_draws() == before
    draw()
    assert host_draws() != before


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ((torch.zeros(2), {"names": ("a", None, 3)}), ""),
        ((torch.zeros(2), torch.zeros(2, device="meta")), "a batch has a tensor on meta"),
        ((torch.zeros(2), np.zeros(2)), "a batch has a ndarray"),
    ],
)
def test_what_a_batch_may_hold(batch: Any, reason: str) -> None:
    assert capture._unfit(batch, CPU) == reason


def test_steps_are_replayed_on_cuda_alone_and_where_there_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "CudaGraph", lambda _: None)
    monkeypatch.setattr(capture, "CapturedStep", lambda *_: "captured")
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    cuda = torch.device("cuda")
    choose: Any = lambda *how: step_of(lambda _: torch.zeros(()), (model,), optimizer, *how)  # noqa: E731
    assert choose(cuda, LEAST_STEPS, True) == "captured"
    for how in (
        (CPU, LEAST_STEPS, True),
        (cuda, LEAST_STEPS - 1, True),
        (cuda, LEAST_STEPS, False),
    ):
        assert isinstance(choose(*how), EagerStep)


def test_optimizers_that_count_their_steps_do_it_on_the_device() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    CapturedStep(lambda _: torch.zeros(()), (model,), optimizer, Tape(model, optimizer), CPU)
    assert all(group["capturable"] for group in optimizer.param_groups)


def test_a_tape_repeats_what_was_recorded_and_no_python() -> None:
    """A number of the host stays as it was: a rate that is no tensor would be seen."""
    x, rate, factor = torch.ones(2), torch.tensor(1.0), 2.0
    with Operations() as operations:
        y = x * rate * factor
    x.fill_(3)
    rate.fill_(5)
    factor = 7.0
    operations.repeat()
    assert y.tolist() == [30.0, 30.0]


CUDA = torch.device("cuda")
EXACT = Recipe(lr=0.02, batch_size=8, precision="float32")


@pytest.fixture
def all_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short a training is, and with the same kernels whoever launches them."""
    monkeypatch.setattr(capture, "LEAST_STEPS", 0)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@needs_cuda
@pytest.mark.usefixtures("all_replayed")
def test_a_graph_trains_as_steps_made_anew_do() -> None:
    """The rate is rounded to float32 there: after a few steps weights differ in the last digits."""
    where = {"data": split("cuda"), "device": CUDA, "recipe": EXACT, "epochs": 2}
    replayed, reason = trained(**where)
    assert reason == ""
    anew, _ = trained(**where, replayed=False)
    for one, other in zip(replayed, anew, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5)
    assert same(replayed, trained(**where)[0])


class RaisesWhenRecorded(nn.Module):
    """Refuses to be recorded, after random numbers were drawn."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, 0.1)
        if torch.cuda.is_current_stream_capturing():
            raise ValueError("not me")
        return x


class DrawsOnTheHost(nn.Module):
    """Leaves itself out at random, as some networks' layers do."""

    def forward(self, x: Tensor) -> Tensor:
        return x if random.random() < 0.5 else x * 2


@needs_cuda
@pytest.mark.usefixtures("all_replayed")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Reads, "a step waits for the device at test_capture.py, line"),
        (Average, "3.mean changes with every step"),
        (DrawsOnTheHost, "a step draws random numbers on the host"),
        (RaisesWhenRecorded, "recording a step failed with ValueError: not me"),
    ],
)
def test_on_cuda_too_what_cannot_be_replayed_is_told_and_trained(
    kind: type[nn.Module], reason: str
) -> None:
    """Random numbers can be drawn afterwards, and another training is replayed."""
    where = {"data": split("cuda"), "device": CUDA, "recipe": EXACT, "epochs": 2}
    random.seed(0)
    made_anew, told = trained(kind, **where)
    assert told.startswith(reason)
    random.seed(0)
    anew, _ = trained(kind, **where, replayed=False)
    for one, other in zip(made_anew, anew, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5)
    torch.rand(3, device=CUDA)
    assert trained(**where)[1] == ""


@needs_cuda
@pytest.mark.usefixtures("all_replayed")
def test_a_graphs_memory_is_free_when_the_training_is_done() -> None:
    def reserved() -> int:
        trained(data=split("cuda"), device=CUDA, recipe=EXACT)
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    first = reserved()
    assert [reserved() for _ in range(3)] == [first] * 3
