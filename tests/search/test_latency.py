"""Tables of layers' times: a clock that the network itself moves tells what they must say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

import spaces
from results.latency import LatencyRecord
from search.config import SearchConfig
from search.folder import Folder
from search.latency import kept, passes
from search.latency.counts import layer_counts
from search.latency.design import designed
from search.latency.fitting import line, nodes_of, table
from search.latency.measuring import measured, sliced
from spaces import Space
from spaces.latency import TableSum, rising


class Clock:
    """Time that passes only while layers compute."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now

    def perf_counter(self) -> float:
        return self.now / 1e9


CLOCK = Clock()
FIXED = 1000
"""ns of each layer beside what its channels take."""


class Slow(nn.Conv2d):
    """Takes 7 ns for each pair of a channel that it reads and one that it makes, in steps of 4."""

    def forward(self, x: Tensor) -> Tensor:
        made, read = self.weight.shape[:2]
        CLOCK.now += FIXED + 7 * (-(-read // 4) * 4) * (-(-made // 4) * 4)
        return super().forward(x)


class Joined(nn.Module):
    """Two branches that one layer reads together, and time between the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Slow(3, 16, 1), Slow(3, 32, 1)
        self.both, self.out = Slow(48, 32, 1), Slow(32, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.left(x), self.right(x)], 1)
        CLOCK.now += 100 * x.shape[1]
        return self.out(self.both(x).relu()).mean((2, 3))


@pytest.fixture(scope="module")
def joined() -> tuple[nn.Module, Space]:
    torch.manual_seed(0)
    model = Joined().eval()
    return model, spaces.discover(model, torch.zeros(1, 3, 4, 4), round_to=4)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "time", CLOCK)


def by_hand(space: Space, widths: np.ndarray) -> Any:
    left, right, both = (widths[..., [g.name for g in space.groups].index(n)] for n in NAMES)
    pairs = 4 * (left + right) + (left + right) * both + both * 12
    return 4 * FIXED + 7 * pairs + 100 * (left + right)


NAMES = ("left", "right", "both")


@pytest.mark.usefixtures("clock")
def test_the_tables_say_what_the_clock_does(joined: Any) -> None:
    model, space = joined
    record = measured(model, space, checked=12)
    cost = record.cost(space.groups)
    every = np.array(np.meshgrid(*(g.choices for g in space.groups))).reshape(3, -1).T
    assert cost(every) == pytest.approx(by_hand(space, every), rel=0.02)
    assert record.spread == 0.0
    assert not record.too_noisy
    assert record.error < 0.01
    assert record.kendall > 0.97
    assert {name for each in record.tables for name in each.layers} >= {"left", "right", "both"}


@pytest.mark.usefixtures("clock")
def test_what_is_limited_by_it_is_kept(joined: Any) -> None:
    model, space = joined
    cost = measured(model, space, checked=2).cost(space.groups)
    space = replace(space, others={"latency": cost}).limited(["params=0.6"])
    limit = space.limit("latency=0.5")
    uniform = space.uniform("latency=0.5")
    assert space.cost("latency", uniform) <= limit
    terms = {g.name: np.linspace(1, 0, len(g.choices)) ** 2 for g in space.groups}
    solved = space.solve_and_fill(terms, "latency=0.5")
    every = np.array(np.meshgrid(*(g.choices for g in space.groups))).reshape(3, -1).T
    kept = every[space.meets(every, "latency=0.5")]
    best = min(space.total(terms, widths) for widths in kept)
    assert space.meets(solved.widths, "latency=0.5")
    assert best <= solved.total <= 1.05 * best + 1e-9
    with pytest.raises(spaces.BudgetError, match=r"limit of latency .* ms at least.*1us"):
        space.limit("1us")


@pytest.mark.usefixtures("clock")
def test_a_record_is_read_as_it_was_written(joined: Any) -> None:
    model, space = joined
    record = measured(model, space, checked=2)
    again = LatencyRecord.from_json(record.to_json())
    assert again == record
    top = space.lattice.top
    assert again.cost(space.groups)(top) == record.cost(space.groups)(top)


def test_every_layer_meets_all_pairs_of_its_levels_once(joined: Any) -> None:
    model, space = joined
    counts = layer_counts(model, space)
    assert counts["both"].reads.groups == {"left": 1, "right": 1}
    assert (counts["left"].reads.groups, counts["both"].makes.groups) == ({}, {"both": 1})
    networks = designed(space, [(each.reads, each.makes) for each in counts.values()])
    place = [g.name for g in space.groups].index
    for one in ("left", "right"):
        pairs = {(w[place(one)], w[place("both")]) for w in networks.tolist()}
        levels = [len({w[place(name)] for w in networks.tolist()}) for name in (one, "both")]
        assert len(pairs) == levels[0] * levels[1]


@pytest.mark.usefixtures("clock")
def test_passes_are_cut_at_every_layer_and_add_up(joined: Any) -> None:
    model, space = joined
    networks = [model, sliced(model, space, space.lattice.low)]
    whole, parts, moments = passes.timed(networks, NAMES, (torch.zeros(1, 3, 4, 4),), seconds=0)
    assert moments == [
        ("", "begin"),
        *((name, when) for name in NAMES for when in ("begin", "end")),
        ("", "end"),
    ]
    assert parts.shape == (passes.LEAST, 2, len(moments) - 1)
    assert (parts.sum(-1) == whole).all()
    assert not any(module._forward_hooks for module in model.modules())


def tables(draw: int) -> TableSum:
    rng = np.random.default_rng(draw)
    times = rising(rng.uniform(0, 1000, (5, 4, 4)))
    nodes = np.cumsum(rng.integers(1, 9, (5, 2, 4)), -1).astype(float)
    counts = rng.integers(0, 3, (5, 2, 3)).astype(float)
    return TableSum(50, np.zeros((5, 2)), counts, nodes, times)


def test_a_table_is_interpolated_by_hand() -> None:
    nodes = np.array([[[2.0, 4.0, 8.0], [1.0, 2.0, 3.0]]])
    times = np.array([[[10.0, 20.0, 30.0], [20.0, 40.0, 60.0], [40.0, 80.0, 120.0]]])
    counts = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    cost = TableSum(5, np.zeros((1, 2)), counts, nodes, times)
    assert cost(np.array([4, 2])) == 45
    assert cost(np.array([6, 2])) == 65
    assert cost(np.array([3, 1.5])) == 5 + 22  # 22.5 is rounded to even
    assert cost(np.array([[1, 1], [9, 9]])).tolist() == [15, 125]


@pytest.mark.parametrize("draw", range(4))
def test_tables_never_fall_and_do_not_depend_on_what_is_asked_with(draw: int) -> None:
    cost, rng = tables(draw), np.random.default_rng(draw)
    widths = rng.integers(1, 12, (40, 3))
    together = cost(widths)
    assert together.tolist() == [int(cost(each)) for each in widths]
    steps = np.array([1.0, 2.0, 3.0])
    for each, value in zip(widths, together, strict=True):
        stepped = [int(cost(each + steps * (np.arange(3) == g))) for g in range(3)]
        assert cost.stepped(each, steps).tolist() == stepped
        assert min(stepped) >= value
        assert abs(int(cost.near(each)(each)) - value) <= 1


def test_entries_are_found_again_and_unseen_ones_lie_on_the_surface() -> None:
    x, y = (each.ravel() for each in np.meshgrid([1.0, 2, 4], [1.0, 3, 5], indexing="ij"))
    nodes = nodes_of(x, 3), nodes_of(y, 3)
    bilinear = 10 + 3 * x + 2 * y + x * y
    assert table(x, y, nodes, bilinear).ravel() == pytest.approx(bilinear)
    seen = np.arange(9) != 4
    assert table(x[seen], y[seen], nodes, bilinear[seen])[1, 1] == pytest.approx(bilinear[4])
    stepped = np.ceil(bilinear / 8) * 8
    assert table(x, y, nodes, stepped).ravel() == pytest.approx(stepped, rel=0.04)
    assert nodes_of(np.array([5.0, 5.0]), 3).tolist() == [5, 6, 7]


def test_the_line_has_the_least_relative_errors_and_rises() -> None:
    predicted = np.array([1.0, 2.0, 5.0])
    assert line(predicted, 3 + 2 * predicted) == pytest.approx((3, 2))
    assert line(predicted, np.array([5.0, 4.0, 1.0]))[1] > 0


def test_a_noisy_machine_is_said_to_be_one() -> None:
    checks = ((100, 110), (200, 190), (300, 320), (400, 405))
    calm = LatencyRecord(device="cpu", threads=2, spread=0.04, checks=checks)
    assert calm.kendall == kendalltau(*zip(*checks, strict=True)).statistic == 1
    assert calm.error == pytest.approx(np.median([10 / 110, 10 / 190, 20 / 320, 5 / 405]))
    assert "noisy" not in calm.sentence
    assert "Kendall 1.00" in calm.sentence
    assert "too noisy to say" in replace(calm, spread=0.2).sentence


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> _Counted:
    counting = _Counted(kept.measured)
    monkeypatch.setattr(kept, "measured", counting)
    return counting


class _Counted:
    def __init__(self, inner: Any) -> None:
        self.inner, self.calls = inner, 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return self.inner(*args)


@pytest.mark.usefixtures("clock")
def test_tables_are_measured_once(counted: _Counted, joined: Any, tmp_path: Path) -> None:
    model, space = joined
    task = SimpleNamespace(model=model, example=space.example, device=torch.device("cpu"))
    said: list[str] = []
    progress = SimpleNamespace(say=said.append, warn=said.append, waiting=lambda _: None)
    folder = Folder(tmp_path / "run", SearchConfig.of(budget="12ms"))
    first, again = (kept.latency_of(task, space, folder, tmp_path, progress) for _ in range(2))
    assert first == again
    assert counted.calls == 1
    assert len(said) == 1
    assert "predict the time within" in said[0]
    more = Folder(tmp_path / "run", SearchConfig.of(budget="12ms", latency_batch=4))
    assert kept.latency_of(task, space, more, tmp_path, progress).batch == 4
    with pytest.raises(spaces.ModelError, match="inputs come in batches"):
        kept.latency_of(task, replace(space, batched=False), more, tmp_path, progress)
