"""What a reader sees, in every state a run can be in."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

import results
from results import FinalRecord, TrialRecord
from results.report.page import html
from results.report.view import View
from spaces import Policy

VOID = {"meta", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """Collects tags and text, and checks that what is opened is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def pictures(self) -> list[str]:
        return [a["aria-label"] or "" for tag, a in self.tags if tag == "figure"]


def printed(*what: Any) -> str:
    file = io.StringIO()
    Console(width=80, file=file).print(results.terminal_table(*what))
    return file.getvalue()


def test_report_writes_its_three_files(tmp_path, records, finals, provenance) -> None:
    path = results.report(tmp_path, records, finals, provenance)
    assert path == tmp_path / "report.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pareto.csv", "report.html", "trials.csv"]


def test_a_finished_run_says_it_all(records, finals, provenance) -> None:
    page = Page(html(records, finals, provenance))
    (verdict,) = results.verdicts(finals)
    assert "At budget 0.5 the searched widths are better" in verdict.sentence
    assert page.text.index(verdict.sentence) < page.text.index("What came out")
    for words in (
        "9 trials: 6 complete, 1 stopped at a rung, 1 failed, 1 running.",
        "9 of 9 are at or under the budget, and 8 of those were trained.",
        "training diverged at step 12",
        "the network's output",
        "FLOPs of 9 policies agree with fvcore.",
        "reads of the test split 1",
        "train.mode finetune",
        "abc1234",
        "digits-1",
        "1 min 35 s",
    ):
        assert words in page.text
    assert len(page.pictures) == 5


def test_the_page_needs_no_network(records, finals, provenance) -> None:
    page = Page(html(records, finals, provenance))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe"}
    for _, attributes in page.tags:
        targets = [v for k, v in attributes.items() if k in ("href", "src", "xlink:href")]
        assert all(target is not None and target.startswith("#") for target in targets)


def test_references_inside_the_pictures_meet_one_target(records, finals, provenance) -> None:
    source = html(records, finals, provenance)
    ids = re.findall(r' id="([^"]+)"', source)
    wanted = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', source))
    assert len(ids) == len(set(ids))
    assert {a or b for a, b in wanted} <= set(ids)


def test_the_same_input_gives_the_same_bytes(records, finals, provenance) -> None:
    assert html(records, finals, provenance) == html(records, finals, provenance)


def test_text_from_outside_is_escaped(records, finals, provenance) -> None:
    evil = "<script>alert('$x$')</script>&"
    policy = Policy({evil: 3, "stem": 8})
    records = [
        *records,
        replace(records[5], number=9, flops=400_000, policy=policy, origin=evil),
        replace(records[7], number=10, reason=evil),
    ]
    finals = [*finals[:2], replace(finals[2], policy=policy, name=evil, number=9)]
    provenance |= {"run": evil, "commit": evil, "config": {evil: evil}, "checks": [evil]}
    provenance |= {"groups": [{"name": evil, "channels": 4}], "task": evil}
    page = Page(html(records, finals, provenance))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) >= 8


EMPTY: dict[str, Any] = {}


def test_before_the_first_trial() -> None:
    page = Page(html([], [], EMPTY))
    assert "There is no verdict: no network was trained to the end." in page.text
    assert "0 trials: 0 complete" in page.text
    assert page.pictures == []
    assert "FLOPs" in printed([], [], EMPTY)


def test_only_failed_trials(records, provenance) -> None:
    failed = [replace(records[7], number=i) for i in range(3)]
    page = Page(html(failed, [], provenance))
    assert "3 trials: 0 complete, 0 stopped at a rung, 3 failed." in page.text
    assert "3 training diverged at step 12" in page.text
    assert "No trial was trained yet" in page.text
    assert page.pictures == []


def test_a_running_study_shows_the_front_without_test_accuracy(records, provenance) -> None:
    page = Page(html(records, [], provenance))
    assert "no searched or uniform widths were trained to the end" in page.text
    assert "test split: a ring" not in page.text
    assert [row.name for row in View(records, [], provenance).rows()] == [
        "baseline",
        "uniform at 0.5",
        "trial 5 (tpe)",
    ]
    assert "Best policy at budget 0.5 (trial 5)" in page.text


def test_trained_trials_without_a_complete_one(records, provenance) -> None:
    page = Page(html([records[6], records[8]], [], provenance))
    assert "2 trials: 0 complete, 1 stopped at a rung, 0 failed, 1 running." in page.text
    assert len(page.pictures) == 2


def test_a_hundred_and_twenty_groups(record, provenance) -> None:
    groups = {f"features.denseblock{i // 30}.denselayer{i}.conv2": 64 for i in range(120)}
    policy = Policy({name: 1 + i % 64 for i, name in enumerate(groups)})
    provenance["groups"] = [{"name": name, "channels": n} for name, n in groups.items()]
    page = Page(html([record(1, (0.5, 0.6), policy=policy)], [], provenance))
    assert all(name in page.text for name in groups)
    assert "57 / 64" in page.text


def test_several_budgets_each_have_their_verdict_and_pictures(record, final, provenance) -> None:
    budgets = {"0.7": 700_000, "0.5": 500_000, "0.3": 300_000}
    provenance["budgets"] = budgets
    records: list[TrialRecord] = []
    finals: list[FinalRecord] = []
    for i, (name, limit) in enumerate(budgets.items()):
        accuracy = 0.9 - 0.1 * i
        start, better = (
            record(2 * i + k, (0.5, accuracy + 0.02 * k), flops=limit - k) for k in (0, 1)
        )
        records += [replace(start, origin="uniform"), better]
        finals += [
            final(f"uniform@{name}", "uniform", start.policy, budget=name, flops=limit),
            final("searched", "searched", better.policy, budget=name, best=True),
        ]
    view = View(records, finals, provenance)
    assert [row.name for row in view.rows()] == [
        "baseline",
        "uniform at 0.7",
        "trial 1 (tpe)",
        "uniform at 0.5",
        "trial 3 (tpe)",
        "uniform at 0.3",
        "trial 5 (tpe)",
    ]
    assert [(c.name, c.trials) for c in view.counts()] == [("0.7", 2), ("0.5", 2), ("0.3", 2)]
    page = Page(html(records, finals, provenance))
    # The front, a close-up and a width picture a budget, the finals, the history.
    assert len(page.pictures) == 1 + 3 + 3 + 1 + 1
    assert page.text.count("with each of 3 seeds") == 3


def test_trials_above_every_budget_are_counted_apart(record, provenance) -> None:
    view = View([record(1, (0.5,), flops=400_000), record(2, flops=600_000)], [], provenance)
    counts = [(c.name, c.trials, c.trained, c.best) for c in view.counts()]
    assert counts == [("0.5", 1, 1, 0.5), (None, 1, 0, None)]


def test_the_uniform_start_as_best_policy_is_shown_once(records, finals, provenance) -> None:
    best = replace(finals[2], policy=records[0].policy, name="trial 0", number=0)
    view = View(records, [*finals[:2], best], provenance)
    assert [(row.name, row.best) for row in view.rows()] == [
        ("baseline", False),
        ("uniform at 0.5", True),
        ("trial 5 (tpe)", False),
    ]
    assert "found nothing better than uniform" in html(records, [*finals[:2], best], provenance)


def test_terminal_table_fits_and_holds_the_verdict(records, finals, provenance) -> None:
    lines = printed(records, finals, provenance).splitlines()
    assert max(map(len, lines)) <= 80
    baseline = "baseline 1.00 M 100.0 20.0 k 95.00 90.20 \N{PLUS-MINUS SIGN} 0.20 (3)"
    assert " ".join(lines[1].split()) == baseline
    assert lines[2].startswith("uniform at 0.5")
    assert lines[3].startswith("trial 5 (tpe)")
    assert "At budget 0.5 the searched widths are better" in " ".join(lines)


def test_terminal_table_takes_names_as_they_are(records, provenance) -> None:
    named = [replace(r, origin="[bold]x[/nonsense]") for r in records[1:]]
    assert "trial 5 ([bold]x[/" in printed(named, [], provenance)


def test_a_run_writes_its_report_again(tmp_path, records, finals, provenance) -> None:
    run = results.Run(tmp_path, tuple(records), tuple(finals), provenance)
    assert run.report().read_text() == html(records, finals, provenance)
    other = tmp_path / "other.html"
    assert run.report(other) == other


def test_public_names_are_sorted_and_there() -> None:
    assert results.__all__ == sorted(results.__all__)
    assert all(hasattr(results, name) for name in results.__all__)


@pytest.mark.parametrize(
    "key", ["budgets", "groups", "baseline", "full_flops", "frozen", "seconds"]
)
def test_any_key_of_the_provenance_may_be_absent(records, finals, provenance, key: str) -> None:
    del provenance[key]
    assert "At budget 0.5 the searched widths" in Page(html(records, finals, provenance)).text
