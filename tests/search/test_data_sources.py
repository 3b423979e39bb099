"""Data by name: what each source gives, and the one line when it cannot."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search import data
from search.data import fashion_mnist
from search.data.loaders import LoaderSplit, StreamSplit
from search.data.splits import TensorSplit
from spaces.errors import DataError, UserError


def test_digits_have_a_test_cut_that_no_seed_changes() -> None:
    first, second = (data.load("digits", seed=seed) for seed in (0, 1))
    assert (len(first.train), len(first.validation), len(first.test)) == (603, 494, 700)
    assert (first.classes, first.shape) == (10, (1, 8, 8))
    assert first.names == tuple("0123456789")
    test = [torch.cat([x for x, _ in splits.test.batches(100)]) for splits in (first, second)]
    assert torch.equal(*test)
    validation = [next(iter(s.validation.batches(494)))[1] for s in (first, second)]
    assert not torch.equal(*validation)


def test_digits_are_normalised() -> None:
    inputs, targets = next(iter(data.load("digits").train.batches(2000)))
    assert inputs.mean().item() == pytest.approx(0, abs=0.02)
    assert inputs.std().item() == pytest.approx(1, abs=0.02)
    assert targets.unique().tolist() == list(range(10))


def test_fewer_train_images_leave_validation_as_it_is() -> None:
    all_of_it, few = data.load("digits"), data.load("digits", train_images=50)
    assert len(few.train) == 50
    parts = [next(iter(s.validation.batches(494)))[0] for s in (all_of_it, few)]
    assert torch.equal(*parts)


@pytest.mark.parametrize(
    ("spec", "asked", "message"),
    [
        ("digitz", {}, "unknown data 'digitz', did you mean 'digits'"),
        ("digits:here", {}, "takes no argument, but got 'here'"),
        ("digits", {"image_size": 32}, "8 pixels wide, but image size 32"),
        ("digits", {"validation_fraction": 1.5}, "between 0 and 1, but got 1.5"),
        ("digits", {"validation_fraction": 0.9999}, "training needs images, but of 1097"),
        ("digits", {"train_images": 0}, "at least 1, but got 0"),
        ("no_such_module:f", {}, "importing 'no_such_module' failed"),
        ("fashion-mnist:/nowhere", {}, "must have train-images-idx3-ubyte"),
        ("imagefolder:/nowhere", {}, "'/nowhere' is none"),
        ("imagefolder", {}, "must be a folder"),
    ],
)
def test_bad_requests_are_told_in_one_line(
    spec: str, asked: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        data.load(spec, **asked)
    assert "\n" not in str(caught.value)


def test_cifar10_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10

    def offline(_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", offline)
    with pytest.raises(DataError, match=r"download failed \(OSError: no route to host\)") as caught:
        data.load("cifar10", cache=tmp_path)
    assert "cifar10:PATH" in str(caught.value)


def test_cifar10_puts_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small:
        """What torchvision's class offers, with 20 images."""

        def __init__(self, root: Path, train: bool) -> None:
            assert root == tmp_path
            self.data = np.zeros((20, 32, 32, 3), np.uint8)
            self.data[:, 4, 5, 1] = 255
            self.targets = [1 if train else 2] * 20

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Small)
    splits = data.load(f"cifar10:{tmp_path}")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 2, 20)
    assert (splits.classes, splits.shape) == (10, (3, 32, 32))
    assert splits.names[3] == "cat"
    inputs, targets = next(iter(splits.test.batches(20)))
    assert set(targets.tolist()) == {2}
    assert inputs[0, 1, 4, 5].item() == pytest.approx((1 - 0.456) / 0.224, abs=1e-5)
    assert inputs[0, 0, 4, 5].item() == pytest.approx(-0.485 / 0.229, abs=1e-5)


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist_folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        labels = gzip.compress(idx(np.arange(count) % 10))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    return tmp_path


def test_fashion_mnist_reads_idx_files_plain_and_compressed(mnist_folder: Path) -> None:
    splits = data.load(f"fashion-mnist:{mnist_folder}")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 10)
    assert splits.shape == (1, 28, 28)
    assert (splits.classes, splits.names[9]) == (10, "Ankle boot")
    inputs, targets = next(iter(splits.test.batches(10)))
    assert targets.tolist() == list(range(10))
    raw = (mnist_folder / "t10k-images-idx3-ubyte").read_bytes()[16]
    assert inputs[0, 0, 0, 0].item() == pytest.approx((raw / 255 - 0.2860) / 0.3530, abs=1e-5)


@pytest.mark.parametrize(
    "content", [b"", b"not idx", b"\0\0\x08\x03\0\0\0\x28", idx(np.ones(3))[:-1]]
)
def test_damaged_idx_files_are_named(mnist_folder: Path, content: bytes) -> None:
    (mnist_folder / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte must be an idx file of bytes"):
        data.load(f"fashion-mnist:{mnist_folder}")


def test_damaged_gzip_files_are_named(mnist_folder: Path) -> None:
    path = mnist_folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz must be readable"):
        data.load(f"fashion-mnist:{mnist_folder}")


@pytest.mark.skipif(
    not fashion_mnist.DEBIAN.is_dir(),
    reason="needs the Debian package dataset-fashion-mnist",
)
def test_fashion_mnist_of_debian_is_found() -> None:
    splits = data.load("fashion-mnist", train_images=1000)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1000, 6000, 10_000)
    inputs, targets = next(iter(splits.test.batches(10_000)))
    assert targets.bincount().tolist() == [1000] * 10
    assert inputs.std().item() == pytest.approx(1, abs=0.02)


def picture(path: Path, size: tuple[int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def folder(root: Path, size: tuple[int, int] = (16, 16), each: int = 10) -> Path:
    for part, images in (("train", each), ("val", 3)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(images):
                picture(root / part / name / f"{number}.png", size, 100 * label + number)
    return root


def test_small_images_are_decoded_once_and_cached(tmp_path: Path) -> None:
    root, cache = folder(tmp_path / "data"), tmp_path / "cache"
    told: list[tuple[str, int, int]] = []

    def load() -> data.Splits:
        return data.load(
            f"imagefolder:{root}", cache=cache, progress=lambda *line: told.append(line)
        )

    splits = load()
    assert told == [("decoding the images", 26, 26)]
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 2, 6)
    assert (splits.classes, splits.shape) == (2, (3, 16, 16))
    assert splits.names == ("cat", "dog")
    inputs, targets = next(iter(splits.test.batches(6)))
    assert targets.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = np.asarray(Image.open(root / "val" / "dog" / "1.png"))[2, 5] / 255
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert inputs[4, :, 2, 5].tolist() == pytest.approx(expected.tolist(), abs=1e-5)

    again = next(iter(load().test.batches(6)))[0]
    assert len(told) == 1  # from the cache
    assert torch.equal(again, inputs)
    picture(root / "val" / "dog" / "1.png", (16, 16), seed=999)
    changed = next(iter(load().test.batches(6)))[0]
    assert len(told) == 2  # a changed file is seen
    assert not torch.equal(changed[4], inputs[4])


def test_a_damaged_cache_file_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, cache = folder(tmp_path / "data"), tmp_path / "cache"
    first = data.load(f"imagefolder:{root}", cache=cache)
    [kept] = (cache / "images").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    second = data.load(f"imagefolder:{root}", cache=cache)
    assert "is damaged" in caplog.text
    both = (next(iter(splits.train.batches(18)))[0] for splits in (first, second))
    assert torch.equal(*both)
    assert kept.stat().st_size > 100


def test_a_cache_that_cannot_be_written_only_costs_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file where the folder should be")
    splits = data.load(f"imagefolder:{folder(tmp_path / 'data')}", cache=blocked)
    assert len(splits.train) == 18
    assert "could not be written" in caplog.text


def test_large_images_are_read_by_workers(tmp_path: Path) -> None:
    root = folder(tmp_path, size=(130, 110), each=4)
    splits = data.load(f"imagefolder:{root}", image_size=56, workers=0)
    assert isinstance(splits.train, LoaderSplit)
    assert splits.shape == (3, 56, 56)
    assert splits.names == ("cat", "dog")
    inputs, _ = next(iter(splits.test.batches(6)))
    # the centre of the image whose shorter side is 56 * 256 / 224 = 64
    small = Image.open(root / "val" / "cat" / "0.png").resize((75, 64), Image.Resampling.BILINEAR)
    pixels = np.asarray(small.crop((10, 4, 66, 60)))[20, 30] / 255
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert inputs[0, :, 20, 30].tolist() == pytest.approx(expected.tolist(), abs=0.02)
    augmented = [
        next(iter(splits.train.batches(7, augment=True, seed=0, epoch=epoch)))[0].sum().item()
        for epoch in (0, 0, 1)
    ]
    assert augmented[0] == augmented[1] != augmented[2]


@pytest.mark.parametrize("odd_one", [0, 7])
def test_small_images_of_several_sizes_are_read_by_workers(tmp_path: Path, odd_one: int) -> None:
    root = folder(tmp_path / "data", each=80)  # more than are looked at beforehand
    picture(root / "train" / "cat" / f"{odd_one}.png", (20, 16), 1)
    splits = data.load(f"imagefolder:{root}", image_size=16, cache=tmp_path / "cache", workers=0)
    assert isinstance(splits.train, LoaderSplit)
    assert next(iter(splits.train.batches(144, augment=True)))[0].shape == (144, 3, 16, 16)


@pytest.mark.parametrize("size", [(16, 16), (130, 110)])
def test_a_corrupt_image_is_named(tmp_path: Path, size: tuple[int, int]) -> None:
    root = folder(tmp_path / "data", size)
    bad = root / "val" / "dog" / "2.png"
    bad.write_bytes(bad.read_bytes()[:60])

    def read() -> None:
        splits = data.load(f"imagefolder:{root}", cache=tmp_path / "cache", workers=0)
        list(splits.test.batches(2))

    with pytest.raises(DataError, match=r"dog/2\.png is not \(") as caught:
        read()
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_data_set_says_what_is_missing(tmp_path: Path) -> None:
    cases = {
        "has no train/": lambda: None,
        "has no val/": lambda: (tmp_path / "train").mkdir(),
        "must have one folder a class": lambda: (tmp_path / "val").mkdir(),
        "there are none": lambda: (tmp_path / "train" / "cat").mkdir(),
        "'dog' is not": lambda: (
            picture(tmp_path / "train" / "cat" / "0.png", (8, 8), 0),
            picture(tmp_path / "val" / "dog" / "0.png", (8, 8), 0),
        ),
    }
    for message, make in cases.items():
        make()
        with pytest.raises(DataError, match=message):
            data.load(f"imagefolder:{tmp_path}")


@pytest.fixture
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "their_data.py").write_text(
        "import torch\n"
        "from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset\n"
        "def part(n): return TensorDataset(torch.randn(n, 3, 4, 4), torch.arange(n) % 5)\n"
        "class Plain(Dataset):\n"
        "    classes = ['a', 'b', 'c']\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, i): return torch.full((3, 4, 4), float(i)), i % 3\n"
        "def wrapped(): return [DataLoader(Subset(Plain(), range(n)), 4) for n in (8, 4, 4)]\n"
        "def numbered():\n"
        "    parts = part(20), part(10), part(10)\n"
        "    parts[0].classes = range(5)\n"
        "    return parts\n"
        "def tensors(seed): return part(20), part(10), part(10)\n"
        "def datasets(): return Plain(), Plain(), Plain()\n"
        "def loaders(): return tuple(DataLoader(part(n), batch_size=4) for n in (20, 10, 10))\n"
        "def lists(): return [list(DataLoader(part(n), batch_size=4)) for n in (20, 10, 10)]\n"
        "def two(): return part(20), part(10)\n"
        "def numbers(): return 1, 2, 3\n"
        "def pairs(): return [(torch.zeros(4, 3, 4, 4), torch.zeros(4)) for _ in range(3)]\n"
        "def empty(): return part(20), part(0), part(10)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "their_data", raising=False)
    return "their_data"


@pytest.mark.parametrize(
    ("function", "kind", "lengths", "classes"),
    [
        ("tensors", TensorSplit, (20, 10, 10), 5),
        ("datasets", LoaderSplit, (9, 9, 9), 3),
        ("loaders", StreamSplit, (20, 10, 10), 5),
        ("lists", StreamSplit, (20, 10, 10), 5),
    ],
)
def test_data_of_the_users_own(
    user_data: str, function: str, kind: type, lengths: tuple[int, ...], classes: int
) -> None:
    splits = data.load(f"{user_data}:{function}", workers=0)
    parts = (splits.train, splits.validation, splits.test)
    assert all(isinstance(part, kind) for part in parts)
    assert tuple(len(part) for part in parts) == lengths
    assert (splits.classes, splits.shape) == (classes, (3, 4, 4))
    assert sum(len(y) for _, y in splits.train.batches(4)) == lengths[0]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("datasets", ("a", "b", "c")),
        ("wrapped", ("a", "b", "c")),
        ("numbered", ()),
        ("tensors", ()),
    ],
)
def test_classes_have_the_names_that_the_users_data_set_gives_them(
    user_data: str, function: str, names: tuple[str, ...]
) -> None:
    splits = data.load(f"{user_data}:{function}", workers=0)
    assert splits.names == names
    assert splits.classes == (len(names) or 5)


@pytest.mark.parametrize(
    ("function", "asked", "message"),
    [
        ("two", {}, r"must return \(train, validation, test\), but it returned tuple of 2"),
        ("numbers", {}, "one of them is int"),
        ("pairs", {}, "one of them is tuple"),
        ("empty", {}, "one is empty"),
        ("loaders", {"train_images": 5}, "limited for data sets only"),
    ],
)
def test_data_of_the_users_that_cannot_be_used(
    user_data: str, function: str, asked: dict[str, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        data.load(f"{user_data}:{function}", **asked)


def test_data_sets_of_the_users_can_be_limited(user_data: str) -> None:
    assert len(data.load(f"{user_data}:tensors", train_images=5).train) == 5


def test_listing_ignores_hidden_files(tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    (root / "train" / "cat" / "._0.png").write_bytes(b"not an image")
    (root / "train" / ".cache").mkdir()
    os.mkdir(root / "val" / ".cache")
    splits = data.load(f"imagefolder:{root}", cache=tmp_path / "cache")
    assert (splits.classes, len(splits.train) + len(splits.validation)) == (2, 20)


def test_a_label_that_no_network_has_an_output_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "huge_labels.py").write_text(
        "import torch\n"
        "from torch.utils.data import TensorDataset\n"
        "def splits():\n"
        "    part = TensorDataset(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 10**13]))\n"
        "    return part, part, part\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="must have labels below 1,048,576, but one is 10,000,000"):
        data.load("huge_labels:splits")
