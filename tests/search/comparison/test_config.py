"""What a comparison may be asked for, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from results import ARMS
from search.comparison.config import FULL, STRUCTURES, CompareConfig
from spaces import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, but got 0"),
        ({"front": 0}, "--front must be at least 1, but got 0"),
        ({"finetune_epochs": 0}, "--finetune-epochs must be at least 1, but got 0"),
        ({"base_epochs": -1}, "--base-epochs must be at least 1, but got -1"),
        ({"rates": []}, "--rates must be above 0 and at most 1.09951e+12, but got none"),
        ({"rates": [0.1, 0.0]}, "--rates must be above 0 and at most 1.09951e+12, but got 0.1 0.0"),
        ({"rates": [1e308]}, "--rates must be above 0 and at most 1.09951e+12, but got 1e+308"),
        (
            {"slimming_sparsity": 1e308},
            "--slimming-sparsity must be between 0 and 1, but got 1e+308",
        ),
        ({"rates": [float("nan")]}, "--rates must be above 0 and at most 1.09951e+12, but got nan"),
        ({"slimming_sparsity": -1.0}, "--slimming-sparsity must be between 0 and 1, but got -1.0"),
        ({"structures": []}, "--structures and --arms must name at least one each, but got none"),
        ({"structures": ["serched"]}, "did you mean 'searched'"),
        ({"arms": ["scratch"]}, "scratch-e"),
        ({"arms": ["finetune", "finetune"]}, "--arms must name different ones, but got finetune f"),
        ({"rates": [0.1, 0.1]}, "--rates must name different ones, but got 0.1 0.1"),
        (
            {"interval": "bootstrap"},
            "--interval must be t, but got bootstrap; a bootstrap",
        ),
        ({"sparsity": 1e-4}, "unknown option 'sparsity', did you mean 'slimming_sparsity'?"),
        ({"colour": 3}, "unknown option 'colour'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        CompareConfig.of(**options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"slimming_sparsity": 1e-3},
            "--slimming-sparsity serves --structures slimming, but got --structures searched "
            "uniform; add one, or leave --slimming-sparsity out",
        ),
        ({"front": 2, "structures": ["uniform"]}, "--front serves --structures searched, but got"),
        (
            {"rates": [0.1], "arms": ["scratch-e"]},
            "--rates serves --arms finetune random-channels distilled, but got --arms scratch-e;",
        ),
        ({"sweep_epochs": 2, "arms": ["finetune-small"]}, "--sweep-epochs serves --arms finetune "),
    ],
)
def test_what_does_nothing_is_told(options: dict[str, Any], message: str) -> None:
    (told,) = CompareConfig.asked(options).useless(options)
    assert told.startswith(message)
    used = {"full": True, **{name: v for name, v in options.items() if name not in FULL}}
    assert not [*CompareConfig.asked(used).useless(used)]


def test_flags_give_the_same_config_again() -> None:
    asked = CompareConfig.of(seeds=5, rates=[0.1, 0.01], structures=["searched", "l1"], anew=True)
    assert asked.flags == "--seeds 5 --structures searched l1 --rates 0.1 0.01"
    assert CompareConfig().flags == ""


def test_full_is_everything_but_for_what_is_said_otherwise() -> None:
    full = CompareConfig.asked({"full": True})
    assert (full.seeds, full.structures, full.arms) == (8, STRUCTURES, tuple(ARMS))
    assert full.flags == "--full"
    assert not full.distils  # where the network cannot be distilled from, that arm is left out
    fewer = CompareConfig.asked({"full": True, "seeds": 3, "arms": ["finetune", "distilled"]})
    assert (fewer.seeds, fewer.structures) == (3, STRUCTURES)
    assert fewer.flags == "--full --seeds 3 --arms finetune distilled"
    assert fewer.distils


def test_full_goes_on_from_an_earlier_comparison_with_all_that_it_had() -> None:
    before = {"seeds": 12, "structures": ["uniform"], "arms": ["finetune"], "base_epochs": 7}
    full = CompareConfig.asked({"full": True}, before)
    assert (full.seeds, full.base_epochs) == (12, 7)
    assert (full.structures, full.arms) == (STRUCTURES, tuple(ARMS))
    assert CompareConfig.asked({}, before).structures == ("uniform",)
    assert CompareConfig.asked({"full": True, "seeds": 2}, before).seeds == 2
