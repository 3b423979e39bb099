"""Which sensitivities a run measures, and what it says of them before and after."""

from __future__ import annotations

import pytest
import torch

from prune_ops import SENSITIVITIES
from search.config import SearchConfig
from search.evaluation import scoring as layers
from search.evaluation.scoring import sensitivities, sensitivity_records
from spaces import Space


class Heard:
    """Stands in for ``Progress``: remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.worked: list[tuple[str, int, int]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def working(self, what: str, done: int, total: int) -> None:
        self.worked.append((what, done, total))


@pytest.mark.parametrize(
    ("options", "measured"),
    [
        ({}, ["repaired_damage"]),
        ({"starts": ("l1",), "sampler": "surrogate"}, ["repaired_damage"]),
        ({"starts": ("l1",)}, []),
        ({"starts": ("l1",), "proxies": ("reconstructed", "iso_damage")}, ["iso_damage"]),
        (
            {"starts": ("layer_damage", "l1", "accuracy_drop")},
            ["layer_damage", "accuracy_drop"],
        ),
    ],
)
def test_what_starts_proxies_and_sampler_ask_for_is_measured(options, measured) -> None:
    assert sensitivities(SearchConfig.of(**{"sampler": "tpe", **options})) == measured


def test_records_say_widths_and_unit_of_every_group(space: Space) -> None:
    config = SearchConfig.of(starts=("layer_damage", "iso_damage"), sampler="tpe")
    found = {
        name: {g.name: torch.arange(len(SENSITIVITIES[name].widths(g))) / 4 for g in space.groups}
        for name in ("layer_damage", "iso_damage")
    }
    records = sensitivity_records(space, config, found)
    assert len(records) == 2 * len(space.groups)
    assert [r.sensitivity for r in records[:: len(space.groups)]] == ["layer_damage", "iso_damage"]
    first, stem = records[0], records[len(space.groups)]
    assert (first.unit, first.group, first.channels) == ("accuracy", "conv1", 16)
    assert (first.widths, first.damages) == ((2, 5, 8, 11, 14), (0.0, 0.25, 0.5, 0.75, 1.0))
    assert (stem.unit, stem.widths) == ("loss", (2, 4, 6, 8, 10, 12, 14))


@pytest.mark.parametrize(("seconds", "said"), [(1, []), (10, ["3 cuts of single layers"])])
def test_what_takes_long_is_forecast_after_the_first_cut(
    monkeypatch: pytest.MonkeyPatch, seconds: int, said: list[str]
) -> None:
    clock = iter(range(0, 100, seconds))
    monkeypatch.setattr(layers.time, "perf_counter", lambda: next(clock))
    heard = Heard()
    report = layers._report_to(heard)
    for networks in range(1, 5):
        report(networks, 4)
    assert [f"forecast: about {seconds * 2} s for {what}" for what in said] == heard.lines
    assert heard.worked == [("cutting single layers", k, 4) for k in range(1, 5)]
