"""Provenance: typed, and read from what older versions stored."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from results import Provenance
from results.compression import Way
from results.provenance import Baseline, Frozen, Group, Settings
from search.config import SearchConfig


def test_it_survives_being_stored(provenance: dict[str, Any]) -> None:
    whole = provenance | {"ways": {"clustered": {"label": "16 values", "note": ""}}}
    whole |= {"uncounted": [{"module": "a", "operation": "deform"}], "base_epochs": 2.5}
    made = Provenance.from_dict(whole)
    assert made.to_dict() == whole
    assert Provenance.from_dict(made.to_dict()) == made
    assert made.groups[0] == Group("stem", 16)
    assert made.frozen == (Frozen("head", 10, "the network's output"),)
    assert made.baseline == Baseline(1_000_000, 40_000, 0.95, 0.94)
    assert made.way("clustered") == Way("16 values")
    assert made.way("magnitude").label == "zeros for the smallest weights"


def test_what_is_absent_is_as_by_default() -> None:
    assert Provenance.from_dict({}) == Provenance.from_dict({"commit": None}) == Provenance()
    assert Provenance().to_dict() == {}
    assert Provenance.from_dict({"of a later version": 1}) == Provenance()


def test_its_settings_are_those_of_the_config() -> None:
    config = {"judging": {"rungs": [1, 3], "eta": 3.0}, "policies": {"starts": ["l1"], "seed": 7}}
    found = Provenance.from_dict({"config": config}).settings
    assert found == Settings(rungs=(1, 3), eta=3.0, starts=("l1",), seed=7)


def test_every_setting_is_an_option_of_the_search() -> None:
    config = SearchConfig.of(seed=3, lr=0.1, starts=["l1"])
    settings = Settings.of(config.to_dict())
    options = {k: v for part in dataclasses.asdict(config).values() for k, v in part.items()}
    assert dataclasses.asdict(settings) == {name: options[name] for name in settings.__slots__}


def test_how_a_run_distils_in_words() -> None:
    assert Settings.of({}).distillation is None
    plain = SearchConfig().to_dict()
    assert Settings.of(plain).distillation is None
    told = SearchConfig.of(distill=True, distill_weight=0.5).to_dict()
    assert Settings.of(told).distillation == "weight 0.5, temperature 4"


def test_as_a_mapping_it_is_what_was_stored(provenance: dict[str, Any]) -> None:
    made = Provenance.from_dict(provenance)
    assert dict(made) == provenance
    assert (made["budgets"], made.get("folder", "-")) == ({"0.5": 500_000}, "-")
    with pytest.raises(KeyError):
        made["folder"]
