"""Options: bounds, names and former names stand at the field, and hold for every spelling."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import tomllib
import typing
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_ops.criteria import ALIASES
from search.comparison.config import CompareConfig
from search.config import SearchConfig
from search.config_file import as_toml
from search.flags import Parser, add_part
from search.options import Field, Options, flag, kinds_of, option
from search.parsers import compare_parser, search_parser
from spaces import UserError


@dataclass(frozen=True)
class Sizes(Options):
    """sizes"""

    count: int = option(3, "a count", least=1, most=2000, was="number")
    share: float = option(0.5, "a share", least=0, most=1)
    rate: float | None = option(None, "a rate", above=0)
    kinds: tuple[str, ...] = option(("a",), "kinds", names=("a", "b"), free=True)
    again: bool = option(False, "once more")


@dataclass(frozen=True)
class Tree(Options):
    sizes: Sizes = Sizes()
    colour: str = option("red", "a colour")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "--count must be at least 1, but got 0"),
        ({"count": 10**4}, "--count must be at most 2,000, but got 10,000"),
        ({"share": 2}, "--share must be between 0 and 1, but got 2"),
        ({"share": float("nan")}, "--share must be between 0 and 1, but got nan"),
        ({"rate": 0.0}, "--rate must be above 0, but got 0.0"),
        ({"rate": float("inf")}, "--rate must be above 0, but got inf"),
        ({"kinds": ["a", "a"]}, "--kinds must name different ones, but got a a; name each once"),
        ({"kinds": "a"}, "--kinds must be several values, each text, but got 'a'"),
        ({"kinds": ["c"]}, "unknown kinds 'c'. Known: a, b"),
        ({"again": 1}, "--again must be True or False, but got 1"),
        ({"colours": "red"}, "unknown option 'colours', did you mean 'colour'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        Tree.of(**options)
    assert words in str(refused.value)


def test_a_tree_is_asked_like_one_set() -> None:
    tree = Tree.of(number=7, colour="blue")
    assert (tree.sizes.count, tree.colour) == (7, "blue")
    assert tree.given == {"count": 7, "colour": "blue"}
    assert tree.typed(tree.given) == "--count 7 --colour blue"
    assert tree.differences(Tree.of(kinds=["b"])) == [
        "--count 7 there, 3 here",
        "--colour blue there, red here",
    ]


FORMS = {
    "budget": ["0.5", "60M", "0.25", "1"],
    "limit": ["params=0.5", "memory=8MB", "12ms"],
    "storage": ["postgresql://me@there/db"],
    **{key: ["my_package.tasks:build", "mine:x"] for key in ("task", "loss", "metric")},
    "train_loop": ["my_package.training:train"],
    "log": ["wandb", "mlflow", "tensorboard", "my_package.logs:make"],
}
"""Texts of options that are read."""


def values(field: Field, hint: Any) -> st.SearchStrategy[Any]:
    """What an option may be, other options being as by default."""
    kinds, several = kinds_of(hint)
    least, above, most = field.metadata["bounds"]
    low = least if least is not None else above or 0
    if names := [name for name in field.metadata["names"] if name not in ALIASES]:
        one: st.SearchStrategy[Any] = st.sampled_from(names)
    elif float in kinds:
        top = 1 if most is None else most
        one = st.floats(low, low + top, exclude_min=above is not None or not low, width=32)
    else:
        one = {int: st.integers(max(low, 1), min(most or 9, 10**4)), bool: st.booleans()}.get(
            kinds[0], st.text("abcz0", min_size=1)
        )
    if field.name in FORMS:
        one = st.sampled_from(FORMS[field.name])
    least = 2 if field.name == "criteria" else 1
    return st.lists(one, min_size=least, unique=True).map(tuple) if several else one


def every(config: Options) -> list[Any]:
    """(name, what it may be) of every option."""
    return [
        pytest.param(values(field, typing.get_type_hints(type(part))[field.name]), id=field.name)
        for part, field in config.leaves()
    ]


def settled(name: str, value: Any) -> dict[str, Any]:
    """The options, with those that this one needs."""
    needs: dict[str, dict[str, Any]] = {
        "address": {"engine": "ray"},
        "cpus_per_trial": {"engine": "ray"},
        "gpus_per_trial": {"engine": "ray"},
        "criteria": {"criterion": "search"},
        "loss": {"metric": "mine:metric"},
        "latency_batch": {"limit": ("latency=0.5",)},
        "train_loop": {"weights": "mine.pt"},
        "layer_epochs": {"schedule": "layerwise"},
        "distill_weight": {"distill": True},
        "distill_temperature": {"distill": True},
        "rank_by": {"proxies": (value,)},
        "proxies": {"rank_by": value[0]} if name == "proxies" else {},
    }
    return needs.get(name, {}) | {name: tuple(sorted(value)) if name == "rungs" else value}


def parsed(parser: argparse.ArgumentParser, words: str) -> dict[str, Any]:
    return vars(parser.parse_args(shlex.split(words)))


def flat(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: value for table in tables.values() for name, value in table.items()}


@pytest.mark.parametrize("drawn", every(SearchConfig()))
def test_every_option_of_a_search_comes_back_from_json_and_from_what_is_typed(
    drawn: st.SearchStrategy[Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id

    @settings(max_examples=10)
    @given(drawn)
    def comes_back(value: Any) -> None:
        config = SearchConfig.of(**settled(name, value))
        assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert SearchConfig.of(**flat(tomllib.loads(as_toml(config)))).differences(config) == []
        there = SearchConfig.of(
            **parsed(search_parser(), config.command.partition("search.py ")[2])
        )
        assert there.differences(config) == []
        assert SearchConfig.of(**parsed(search_parser(), config.typed(config.given))) == config

    comes_back()


@pytest.mark.parametrize("drawn", every(CompareConfig()))
def test_every_option_of_a_comparison_comes_back_too(
    drawn: st.SearchStrategy[Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id

    @settings(max_examples=10)
    @given(drawn)
    def comes_back(value: Any) -> None:
        config = CompareConfig.of(**{name: value})
        stored = json.loads(json.dumps(dataclasses.asdict(config)))
        assert CompareConfig.asked({}, stored) == config
        mine, others = CompareConfig.split(parsed(compare_parser(), config.flags))
        assert CompareConfig.of(**mine, anew=config.anew) == config
        assert others == {}

    comes_back()


def test_no_option_of_a_comparison_hides_one_of_a_search() -> None:
    assert not {*CompareConfig().spellings()} & {*SearchConfig().spellings()}
    words = "--sparsity 0.1 --slimming-sparsity 0.2 --interval t --coin 0.3"
    mine, others = CompareConfig.split(parsed(compare_parser(), words))
    assert CompareConfig.of(**mine) == CompareConfig.of(slimming_sparsity=0.2)
    assert SearchConfig.of(**others) == SearchConfig.of(sparsity=0.1, explore=0.3)


def test_names_of_the_version_before_are_understood_and_not_shown() -> None:
    config = SearchConfig.of(explore=0.3, compression_baselines=["ternary"])
    assert SearchConfig.of(coin=0.3, beside=["ternary"]) == config
    parts = config.to_dict()
    parts["judging"]["coin"] = parts["judging"].pop("explore")
    parts["training"]["beside"] = parts["training"].pop("compression_baselines")
    assert SearchConfig.from_dict(parts) == config
    assert SearchConfig.of(**parsed(search_parser(), "--coin 0.3 --beside ternary")) == config
    shown = search_parser().format_help() + compare_parser().format_help()
    assert not any(old in shown for old in ("--coin", "--beside", "--interval"))
    former = {"seeds": 2, "sparsity": 1e-3, "interval": "bootstrap", "rates": [0.1]}
    today = CompareConfig.of(seeds=2, slimming_sparsity=1e-3, rates=[0.1])
    assert CompareConfig.asked({}, former) == today


def test_every_flag_is_spelled_as_its_option() -> None:
    known = {word for action in search_parser()._actions for word in action.option_strings}
    off = {"--no-distill", "--no-gains"}
    asks = {"-h", "--help", "--help-all", "--version", "--config", "--dry-run", "--completion"}
    assert known == {*map(flag, SearchConfig().spellings()), *off, *asks}


@dataclass(frozen=True)
class Usual(Options):
    """What is done unless it is turned off."""

    soft: bool = option(True, "soft targets")


def test_what_is_yes_or_no_can_be_turned_off_too() -> None:
    parser = Parser("search.py")
    add_part(parser, Usual())
    for words, value in (("--no-soft", False), ("--soft", True)):
        assert parsed(parser, words) == {"soft": value}
        assert Usual.of(soft=value).typed(["soft"]) == words
    assert parsed(parser, "") == {}
    assert "--soft, --no-soft" in parser.format_help()
    assert parsed(search_parser(), "--distill --no-distill") == {"distill": False}
