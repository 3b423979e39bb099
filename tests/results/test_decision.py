"""What to ship: the network, what it loses with two intervals, what it takes, how it is loaded."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from runs import make_run
from scipy.stats import norm

from results import FinalRecord, Run, TrialRecord, terminal_decision
from results.decision import Decision, decisions, loading
from results.reporting import document
from results.reporting.blocks import Code
from results.reporting.html import html
from results.reporting.markdown import markdown
from results.speed import NetworkSpeed

Records = list[TrialRecord]
Finals = list[FinalRecord]


def speed(name: str, batch: int, milliseconds: float, size: int = 80_000) -> NetworkSpeed:
    seconds = milliseconds / 1000
    return NetworkSpeed(name, batch, seconds, 0.9 * seconds, 1.1 * seconds, 11, size, "cpu", 1)


SPEEDS = (
    *(speed("baseline", 1, 2), speed("baseline", 64, 50)),
    *(speed("trial 5", 1, 1.5, 40_000), speed("trial 5", 64, 25, 40_000)),
)


@pytest.fixture
def decided(records: Records, finals: Finals, provenance: dict[str, Any]) -> Decision:
    about = provenance | {"test_images": 500}
    (decision,) = decisions(make_run(records, finals, about, timed=SPEEDS))
    return decision


def test_it_is_the_best_searched_network(decided: Decision, finals: Finals) -> None:
    assert decided.final == finals[2]
    assert decided.lost == pytest.approx(0.902 - 0.912, abs=1e-9)
    assert "ship trial 5: 91.20 % of the test images right, 1.00" in decided.sentence
    assert decided.sentence.endswith("points above the unpruned network.")


def test_the_loss_has_an_interval_over_images(decided: Decision) -> None:
    """Newcombe's example, by hand: both Wilson intervals, and the hybrid of them."""
    z = float(norm.ppf(0.975))

    def wilson(p: float, n: int) -> tuple[float, float]:
        middle, reach = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
        return (middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n)

    (one_low, one_high), (low, high) = wilson(0.902, 500), wilson(0.912, 500)
    below = math.hypot(0.902 - one_low, high - 0.912)
    above = math.hypot(one_high - 0.902, 0.912 - low)
    assert decided.over_images == pytest.approx((-0.01 - below, -0.01 + above), abs=1e-6)
    assert "with 500 test images drawn anew the loss may be −" in decided.certainty


def test_what_it_takes_stands_beside_the_unpruned_network(decided: Decision) -> None:
    assert decided.facts == [
        ("test accuracy, %", "90.20", "91.20", ""),
        ("FLOPs (multiply-adds)", "1.00 M", "500 k", "50.0"),
        ("parameters", "20.0 k", "20.0 k", "100.0"),
        ("size", "80.0 kB", "40.0 kB", "50.0"),
        ("ms, one image", "2", "1.5", "75.0"),
        ("ms, 64 images", "50", "25", "50.0"),
    ]
    assert not decided.slower


def test_where_time_is_not_saved_it_is_said(
    records: Records, finals: Finals, provenance: dict[str, Any]
) -> None:
    timed = (*SPEEDS[:2], speed("trial 5", 1, 2.5), speed("trial 5", 64, 25))
    (decision,) = decisions(make_run(records, finals, provenance, timed=timed))
    assert decision.certainty.endswith(
        "it saves FLOPs but, as measured here, no time for one image."
    )


def test_uniform_widths_are_shipped_where_they_were_shown_to_be_better(
    records: Records, finals: Finals, provenance: dict[str, Any]
) -> None:
    worse = replace(finals[2], test_accuracy=(0.800, 0.802, 0.805))
    (decision,) = decisions(make_run(records, [*finals[:2], worse], provenance))
    assert (decision.final, decision.rejected) == (finals[1], worse)
    assert "ship uniform widths at 0.5: 90.20 %" in decision.sentence
    assert decision.source == "uniform-0.5"


def test_without_times_the_other_figures_are_there(
    records: Records, finals: Finals, provenance: dict[str, Any]
) -> None:
    (decision,) = decisions(make_run(records, finals, provenance))
    assert [row[0] for row in decision.facts][1:] == ["FLOPs (multiply-adds)", "parameters"]


def test_nothing_is_decided_before_the_finals(records: Records, finals: Finals) -> None:
    assert not [*decisions(make_run(records))]
    assert not [*decisions(make_run(records, finals[1:]))]


def test_it_begins_terminal_and_reports(
    records: Records, finals: Finals, provenance: dict[str, Any], tmp_path: Path
) -> None:
    about = provenance | {"test_images": 500, "fresh": "models.build('m', classes=10)"}
    run = replace(make_run(records, finals, about, timed=SPEEDS), folder=tmp_path)
    (decision,) = decisions(run)
    assert loading(run, decision) == []  # another process has the network
    (tmp_path / "models" / "best").mkdir(parents=True)
    lines = loading(run, decision)
    assert lines[1:] == [
        "fresh = models.build('m', classes=10)",
        f"model = prune_ops.load(fresh, '{tmp_path / 'models' / 'best'}').eval()",
    ]
    file = io.StringIO()
    Console(file=file, width=80).print(terminal_decision(run))
    assert file.getvalue().startswith("At budget 0.5 ship trial 5")
    assert max(map(len, file.getvalue().splitlines())) <= 80 + len(str(tmp_path))
    made = document(run)
    assert made.sections[0].anchor == "decision"
    assert Code(lines) in made.sections[0].blocks
    assert "<pre><code>import prune_ops" in html(made)
    words, _ = markdown(made, "figures")
    assert "```python\nimport prune_ops" in words
    assert words.index("## Method and audit") < words.index("### The search")


def timed_run(finals: Finals, provenance: dict[str, Any]) -> Run:
    slow = speed("uniform@0.5", 64, 60)
    return make_run([], finals, provenance, timed=(*SPEEDS, slow))


def test_every_row_has_its_size_and_its_times(finals: Finals, provenance: dict[str, Any]) -> None:
    text, _ = markdown(document(timed_run(finals, provenance)), "figures")
    (head,) = (line for line in text.splitlines() if line.startswith("| network | FLOPs"))
    assert "| seeds | MB | ms, one image | ms, 64 images |" in head
    assert "| 0.08 | 2 (1.8 to 2.2) | 50 (45 to 55) |" in text
    assert "**0.04** | **1.5 (1.35 to 1.65)** | **25 (22.5 to 27.5)**" in text
    assert "the middle half of the passes took" in text
    (warned,) = (line for line in text.splitlines() if line.startswith("Fewer FLOPs, but"))
    assert warned.endswith("no less time for 64 images: uniform at 0.5.")


def test_a_time_above_its_limit_is_told(finals: Finals, provenance: dict[str, Any]) -> None:
    limits = {"latency=1.2ms": 1_200_000, "params=0.5": 400}
    text, _ = markdown(document(timed_run(finals, provenance | {"limits": limits})), "figures")
    assert "keeps latency=1.2ms (at most 1.2 ms) and params=0.5 (at most 400) too" in text
    (told,) = (line for line in text.splitlines() if line.startswith("By the tables"))
    assert "these take longer: trial 5: 1.5 (1.35 to 1.65)." in told
