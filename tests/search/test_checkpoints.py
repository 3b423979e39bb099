"""Checkpoints: a training that is cut short ends with the very weights of one that is not."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import program
from devices import DEVICES
from torch import Tensor, nn
from waiting import PATIENCE

from search.data.splits import Augment, TensorSplit
from search.training import checkpoints
from search.training.checkpoints import NOWHERE, Checkpoint, Checkpoints, InFolder, State
from search.training.distillation import Teacher
from search.training.loop import Recipe, train

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(lr=0.05, batch_size=8)
SPARSE = Recipe(lr=0.05, batch_size=8, sparsity=0.01)
STEPS = 8
"""Of an epoch."""


class Cut(Exception):
    """The training ends here."""


class Average(nn.Module):
    """Keeps a running mean of what it has seen, and keeps it out of its ``state_dict``."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean


def network(width: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(1, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), Average()
    return nn.Sequential(*first, nn.Dropout(0.5), nn.Flatten(), nn.Linear(16 * width, 2))


def split(device: str) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (8 * STEPS, 1, 6, 6), generator=generator).to(torch.uint8)
    labels = torch.arange(len(pixels)) % 2
    return TensorSplit(pixels.to(device), labels.to(device), (0.4,), (0.3,), Augment(1, flip=True))


def trained(
    kept: Checkpoints,
    *,
    cut: int | None = None,
    device: str = "cpu",
    width: int = 4,
    epochs: float = 4,
    recipe: Recipe = RECIPE,
    taught: tuple[float, float] | None = None,
) -> tuple[list[Tensor], list[int]]:
    """All parameters and buffers after training, and the steps that were made for it.

    Args:
        taught: weight and temperature of distillation from another network.
    """
    made: list[int] = []

    def on_step(step: int, _steps: int) -> None:
        made.append(step)
        if step == cut:
            raise Cut

    model = network(width)
    train(
        model,
        split(device),
        recipe,
        epochs=epochs,
        seed=3,
        device=torch.device(device),
        on_step=on_step,
        checkpoint=Checkpoint(kept, "key"),
        teacher=None if taught is None else Teacher(network(6).to(device).eval(), *taught),
    )
    return [*model.parameters(), *model.buffers()], made


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save at the end of every epoch, however little time has passed."""
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> InFolder:
    return InFolder(tmp_path / "checkpoints")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cut", [1, 8, 9, 20, 31, 32])
def test_a_training_cut_short_ends_with_the_weights_of_one_that_is_not(
    folder: InFolder, device: str, cut: int
) -> None:
    whole, _ = trained(NOWHERE, device=device)
    with pytest.raises(Cut):
        trained(folder, cut=cut, device=device)
    torch.rand(5)
    resumed, made = trained(folder, device=device)
    assert same(resumed, whole)
    assert made == list(range(STEPS * ((cut - 1) // STEPS) + 1, 4 * STEPS + 1))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("device", DEVICES)
def test_a_sparse_training_cut_short_ends_alike(folder: InFolder, device: str) -> None:
    whole, _ = trained(NOWHERE, device=device, recipe=SPARSE)
    with pytest.raises(Cut):
        trained(folder, cut=20, device=device, recipe=SPARSE)
    resumed, made = trained(folder, device=device, recipe=SPARSE)
    assert same(resumed, whole)
    assert made[0] == 2 * STEPS + 1


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("device", DEVICES)
def test_a_distilled_training_cut_short_ends_alike(folder: InFolder, device: str) -> None:
    whole, _ = trained(NOWHERE, device=device, taught=(0.9, 4.0))
    assert not same(whole, trained(NOWHERE, device=device)[0])
    with pytest.raises(Cut):
        trained(folder, cut=20, device=device, taught=(0.9, 4.0))
    resumed, made = trained(folder, device=device, taught=(0.9, 4.0))
    assert same(resumed, whole)
    assert made[0] == 2 * STEPS + 1


@pytest.mark.usefixtures("always")
def test_it_may_be_cut_short_again_and_again(folder: InFolder) -> None:
    for cut in (9, 10, 17, 30):
        with pytest.raises(Cut):
            trained(folder, cut=cut)
    resumed, made = trained(folder)
    assert same(resumed, trained(NOWHERE)[0])
    assert made[0] == 25


@pytest.mark.usefixtures("always")
def test_nothing_is_left_at_the_end_and_the_callers_random_state_stays(folder: InFolder) -> None:
    with pytest.raises(Cut):
        trained(folder, cut=20)
    assert [file.name for file in folder.path.iterdir()] == ["key.pt"]
    network()  # seeds the generator
    before = torch.get_rng_state()
    trained(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(folder.path.iterdir()) == []
    folder.clear()
    assert not folder.path.exists()


def test_a_short_training_writes_nothing(folder: InFolder) -> None:
    with pytest.raises(Cut):
        trained(folder, cut=20)
    assert not folder.path.exists()


def test_it_is_saved_when_enough_time_has_passed(
    folder: InFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 59.0, 60.0, 60.0, 119.0])  # the beginning; epochs 1, 2 and saved; 3
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(ticks))
    with pytest.raises(Cut):
        trained(folder, cut=25)
    state = folder.load("key")
    assert state is not None
    assert (state["step"], state["epoch"]) == (2 * STEPS, 2)


def truncate(content: bytes, _state: State) -> bytes:
    return content[: len(content) // 2]


def turn_a_bit(content: bytes, state: State) -> bytes:
    """torch itself would not notice."""
    at = content.index(state["model"]["0.weight"].numpy().tobytes())
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def replace_by_text(_content: bytes, _state: State) -> bytes:
    return b"no checkpoint"


def replace_by_code(_content: bytes, _state: State) -> bytes:
    return pickle.dumps(Path("/"))


def empty(_content: bytes, _state: State) -> bytes:
    return b""


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("damage", [truncate, turn_a_bit, replace_by_text, replace_by_code, empty])
def test_a_damaged_file_counts_as_none(
    folder: InFolder,
    damage: Callable[[bytes, State], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(Cut):
        trained(folder, cut=20)
    [file], state = list(folder.path.iterdir()), folder.load("key")
    assert state is not None
    file.write_bytes(damage(file.read_bytes(), state))
    again, made = trained(folder)
    assert made[0] == 1
    assert same(again, trained(NOWHERE)[0])
    assert "key.pt is damaged" in caplog.text


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "other",
    [
        *({"width": 5}, {"epochs": 5}, {"recipe": Recipe(lr=0.04, batch_size=8)}),
        *({"recipe": SPARSE}, {"taught": (0.9, 4.0)}),
    ],
    ids=["network", "length", "recipe", "sparsity", "distillation"],
)
def test_what_was_kept_of_another_training_counts_as_none(
    folder: InFolder, other: dict[str, int]
) -> None:
    with pytest.raises(Cut):
        trained(folder, cut=20)
    found, made = trained(folder, **other)  # type: ignore[arg-type]
    assert made[0] == 1
    assert same(found, trained(NOWHERE, **other)[0])  # type: ignore[arg-type]


def test_a_file_of_something_else_counts_as_none(folder: InFolder) -> None:
    folder.save("key", {"weights": torch.zeros(3)})
    assert trained(folder)[1][0] == 1
    torch.save([1, 2], folder.path / "list.pt")
    assert folder.load("list") is None


def test_a_folder_that_cannot_be_written_costs_the_checkpoint_and_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    (tmp_path / "file").write_text("in the way")
    found, _ = trained(InFolder(tmp_path / "file"))
    assert same(found, trained(NOWHERE)[0])
    assert "could not be written" in caplog.text


def test_checkpoints_can_be_pickled(folder: InFolder) -> None:
    assert pickle.loads(pickle.dumps((folder, NOWHERE))) == (folder, NOWHERE)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/search")
import test_checkpoints as tests
from search.training import checkpoints

checkpoints.EVERY_SECONDS = 0.0

class DieAfter(checkpoints.InFolder):
    def save(self, key, state):
        super().save(key, state)
        if state["epoch"] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

tests.trained(DieAfter(Path(sys.argv[1])))
"""


@pytest.mark.usefixtures("always")
def test_a_killed_process_is_gone_on_with_by_another(folder: InFolder) -> None:
    for epoch in ("1", "3"):
        ended = program(KILLED, str(folder.path), epoch)
        _, errors = ended.communicate(timeout=PATIENCE)
        assert ended.returncode == -signal.SIGKILL, errors
    resumed, made = trained(folder)
    assert made[0] == 3 * STEPS + 1
    assert same(resumed, trained(NOWHERE)[0])
