"""Other libraries' trainers as training loops, each with the real library where it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import prune_ops
import spaces
from search.loops import needs
from search.training.own_loop import check_loop, train_by
from spaces import UserError, copied

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    """Warnings of other libraries are theirs, and so is what they set in the environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_a_library_that_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(UserError, match=r"needs torch, nowhere, but nowhere is not installed; pip"):
        needs("lightning", "torch", "nowhere")


def halved(model: nn.Module, example: Any) -> nn.Module:
    """The network at half of its FLOPs."""
    space = spaces.discover(model, example)
    scores = prune_ops.score(model, space, (), ["l1"])
    return prune_ops.prune(model, space, space.uniform(0.5), scores["l1"])


def check_trains(loop: Any, model: nn.Module, loss: Any, epochs: int) -> None:
    """It learns, the same for the same seed."""
    check_loop(loop)
    ends = []
    for seed in (1, 1, 2):
        again = copied(model)
        before = loss(again.eval()).item()
        train_by(loop, again, epochs=epochs, seed=seed, device=CPU)
        assert loss(again).item() < before
        ends.append(torch.cat([p.detach().flatten() for p in again.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.mark.filterwarnings("default")
def test_hugging_faces_trainer() -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from search.loops.huggingface import HuggingFace

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=16, intermediate_size=32, max_position_embeddings=8, num_labels=2, **sizes
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config).eval()
    tokens = torch.randint(0, 16, (64, 6))
    labels = (tokens[:, 0] > 7).long()
    model = halved(model, {"input_ids": tokens[:1], "attention_mask": torch.ones_like(tokens[:1])})
    assert model.bert.encoder.layer[0].intermediate.dense.out_features < 32
    rows = [{"input_ids": t, "labels": y} for t, y in zip(tokens, labels, strict=True)]
    arguments = transformers.TrainingArguments(
        "never-written", learning_rate=1e-2, per_device_train_batch_size=16, use_cpu=True
    )
    loop = HuggingFace(arguments, train_dataset=rows)
    check_trains(loop, model, lambda m: m(input_ids=tokens, labels=labels).loss, epochs=3)
    assert not Path("never-written").exists()


@pytest.mark.filterwarnings("default")
def test_lightnings_trainer() -> None:
    lightning = pytest.importorskip("lightning")
    from search.loops.lightning import Lightning

    class Module(lightning.LightningModule):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return nn.functional.mse_loss(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), 1e-2)

    class Own(Module):
        """A network that is a LightningModule itself."""

        def __init__(self) -> None:
            super().__init__(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1)))

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

    torch.manual_seed(0)
    x = torch.randn(64, 6)
    y = x[:, :1] * 2
    loader = DataLoader(list(zip(x, y, strict=True)), batch_size=16, shuffle=True)

    def loss(model: nn.Module) -> Tensor:
        return nn.functional.mse_loss(model(x), y)

    plain = halved(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1)).eval(), x[:1])
    options = {"data": loader, "accelerator": "cpu"}
    check_trains(Lightning(Module, **options), plain, loss, epochs=3)
    check_trains(Lightning(**options), halved(Own().eval(), x[:1]), loss, epochs=3)


@pytest.mark.filterwarnings("default")
def test_ultralytics_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "True")
    pytest.importorskip("ultralytics")
    yolo = import_module("examples.yolo")
    from search.loops.ultralytics import Ultralytics

    (batch,) = yolo.loader(16, seed=0)
    options = {"imgsz": 64, "batch": 8, "workers": 0, "optimizer": "AdamW", "warmup_epochs": 0}
    loop = Ultralytics(yolo.written(16, seed=0), lr0=0.01, mosaic=0.0, **options)
    torch.manual_seed(0)
    model = halved(yolo.detector().eval(), batch["img"][:1])
    check_trains(loop, model, lambda m: yolo.loss(m(batch["img"]), batch), epochs=2)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not Path("runs/detect").exists()
