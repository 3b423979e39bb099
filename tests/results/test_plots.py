"""The pictures: that they hold what they are given, and that one can tell its parts apart."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from runs import make_run

from results import TrialRecord
from results.reporting.plots.axes import shorten_about
from results.reporting.plots.front import close_up, final_accuracy, front
from results.reporting.plots.search import history, volumes
from results.reporting.plots.spending import spending
from results.reporting.plots.trust import against_proxies
from results.reporting.plots.widths import SCALE, heat_map, numbers_fit
from results.reporting.svg import BLACK, HATCHES, MARKERS
from results.sensitivity import SensitivityRecord
from results.trust import proxy_trust, trained_to
from spaces import Policy

SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> list[str]:
    """The texts of a picture, which must be well-formed XML."""
    return ["".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def drawn(svg: str) -> int:
    """How many markers a picture holds."""
    return svg.count("<use ")


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2), 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_front_draws_every_kind_apart(records, finals, provenance) -> None:
    provenance["config"] = {"policies": {"starts": ["l1"]}}
    plain = make_run(records, finals, provenance)
    origins = {1: "l1", 2: "random", 3: "iso_damage"}
    changed = [replace(r, origin=origins.get(r.number, r.origin)) for r in records]
    measured = [SensitivityRecord("iso_damage", "loss", "stem", 16, (8,), (0.5,))]
    legend = words(front(make_run(changed, finals, provenance, measured=measured)))
    for label in (
        "uniform widths",
        "global rankings",
        "widths by sensitivity",
        "random policies",
        "searched",
        "front",
        "unpruned network",
        "trained for less",
    ):
        assert label in legend
    assert not {"global rankings", "widths by sensitivity"} & set(words(front(plain)))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("trial 9 (l1)", "trial 9 (l1)"),
        ("trial 9 (iso_damage, l1)", "trial 9 (…_damage, l1)"),
        ("uniform at 0.123456 (taylor_2019)", "uniform at 0.123456 (…2019)"),
        ("a_name_of_a_final_without_brackets", "…inal_without_brackets"),
    ],
)
def test_a_long_label_keeps_its_trial(name: str, label: str) -> None:
    assert shorten_about(name, 22) == label


def test_a_close_up_has_its_budget(records, finals, provenance) -> None:
    made = make_run(records, finals, provenance)
    assert "budget 0.5" in words(close_up(made, "0.5", 0.5))


def test_looks_differ_without_their_colour() -> None:
    shapes = [
        look["marker"] for name, look in MARKERS.items() if name not in ("less", "seed", "explored")
    ]
    assert len(shapes) == len(set(shapes))
    assert len(set(HATCHES)) == len(HATCHES)


def test_the_heat_map_gets_darker_with_the_share() -> None:
    grey = [luminance(SCALE(k / 20)) for k in range(21)]
    assert grey == sorted(grey, reverse=True)
    assert grey[0] - grey[-1] > 0.9


@pytest.mark.parametrize("share", [k / 50 for k in range(51)])
def test_the_numbers_of_the_heat_map_can_be_read(share: float) -> None:
    width = max(1, round(50 * share))
    svg = heat_map(["group"], {"group": 50}, {"p": Policy({"group": width})})
    (number,) = re.findall(rf"<text[^>]*>{width}</text>", svg)[:1]
    ink = 1.0 if "#ffffff" in number else 0.0
    ground = luminance(SCALE(width / 50))
    light, dark = max(ink, ground), min(ink, ground)
    assert (light + 0.05) / (dark + 0.05) > 4.5


def test_the_heat_map_holds_every_width(records) -> None:
    channels = {"stem": 16, "layer1.conv1": 16, "layer2.conv1": 32}
    columns = {"original": Policy(channels), "trial 5": records[5].policy}
    found = words(heat_map(list(channels), channels, columns))
    for word in (*channels, *columns, "8", "7", "16", "32"):
        assert word in found
    assert found.count("16") == 3  # two originals and layer2 of trial 5


def test_narrow_columns_lose_their_numbers_and_no_more_titles_than_needed() -> None:
    assert numbers_fit([[64] * 12])
    assert not numbers_fit([[2048] * 12])
    channels = {"g": 2048}
    few = {f"trial {i}": Policy({"g": 1000 + i}) for i in range(20)}
    found = words(heat_map(["g"], channels, few))
    assert "1000" not in found
    assert all(title in found for title in few)
    many = {f"trial {i}": Policy({"g": 1}) for i in range(100)}
    found = words(heat_map(["g"], channels, many))
    assert "trial 0" in found
    assert sum(title in found for title in many) == 34  # every third


def test_a_policy_that_lacks_a_group_leaves_its_cell_empty() -> None:
    svg = heat_map(["a", "b"], {"a": 4, "b": 4}, {"p": Policy({"a": 3})})
    assert words(svg).count("3") == 1


def test_volumes_draw_only_what_has_an_area() -> None:
    found = words(volumes([("all trials", [0.0, 0.4, 0.5]), ("starts alone", [0.0, 0.4, 0.4])]))
    assert {"all trials", "starts alone", "trials that ended"} <= set(found)


def test_against_proxies_has_a_panel_for_each_score(record) -> None:
    trials: list[TrialRecord] = [
        record(i, (0.5 + 0.01 * i,), explored=(0,) if i % 3 == 0 else ()) for i in range(9)
    ]
    svg = against_proxies(trained_to(trials, 1), proxy_trust(trials), 1)
    found = words(svg)
    assert "adaptive_bn: τ = 1.00" in found
    assert {"promoted", "explored"} <= set(found)
    assert "validation accuracy at rung 1, %" in found
    panels = ("adaptive_bn", "flops", "params")
    assert [sum(word.startswith(p) for word in found) for p in panels] == [1, 1, 1]
    # Nine dots in each of three panels; ticks and the legend add to that.
    assert drawn(svg) >= 27


def test_spending_gives_each_part_one_look() -> None:
    parts = [f"part {i}" for i in range(9)]
    bars = [("spent", [(part, 10.0) for part in parts[:6]]), ("saved", [(parts[8], 3.0)])]
    svg = spending(parts, [("seconds", bars), ("FLOPs", bars[:1])])
    assert sum(word.startswith("part") for word in words(svg)) == 9
    fills = re.findall(r"fill: (#[0-9a-f]{6}|url\(#\w+\))", svg)
    assert len(set(fills)) >= 9
    assert BLACK in svg


def test_pictures_are_the_same_every_time(records, finals, provenance) -> None:
    made = make_run(records, finals, provenance)
    for draw in (front, history, final_accuracy):
        assert draw(made) == draw(made)


def test_finals_show_the_search_beside_the_test(records, finals, provenance) -> None:
    finals = [*finals[:2], replace(finals[2], flops=records[5].flops)]
    found = words(final_accuracy(make_run(records, finals, provenance)))
    assert {"baseline", "uniform at 0.5", "trial 5 (tpe)"} <= set(found)
    assert any("(search)" in word for word in found)
    assert any("(final)" in word for word in found)
