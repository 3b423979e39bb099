"""What a reader sees, in every state a run can be in."""

from __future__ import annotations

import errno
import io
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pictures import undrawn
from rich.console import Console
from runs import make_run

import results
from results import FinalRecord, TrialRecord
from results.reporting import document
from results.reporting import html as pages
from results.reporting.blocks import Column, Document, Figure, Paragraph, Section, Table
from results.reporting.networks import networks
from results.reporting.sections.search import counts
from spaces import Policy
from spaces.errors import UserError

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
        return [a["aria-label"] or "" for _, a in self.tags if a.get("role") == "img"]


def html(*what: Any) -> str:
    return pages.html(document(make_run(*what)))


def printed(*what: Any) -> str:
    file = io.StringIO()
    Console(width=80, file=file).print(results.terminal_table(make_run(*what)))
    return file.getvalue()


@pytest.fixture
def run(tmp_path: Path, records, finals, provenance) -> results.Run:
    return make_run(records, finals, provenance, tmp_path)


def test_a_report_is_a_page_its_markdown_and_the_tables(run) -> None:
    path = results.report(run)
    assert path == run.folder / "report.html"
    names = {p.name for p in run.folder.iterdir()}
    assert names > {"report.html", "report.md", "report_figures", "trials.csv", "pareto.parquet"}
    assert not any(name.startswith(".") for name in names)
    assert path.read_text() == pages.html(document(run))


def test_another_path_has_its_markdown_beside_it_and_no_tables(run, tmp_path) -> None:
    path = tmp_path / "to be made" / "elsewhere.html"
    assert run.report(path) == path
    names = {p.name for p in path.parent.iterdir()}
    assert names == {"elsewhere.html", "elsewhere.md", "elsewhere_figures"}
    assert "(elsewhere_figures/" in path.with_suffix(".md").read_text()
    assert run.report(str(path.parent)) == path.parent / "report.html"


def test_a_report_does_not_take_the_place_of_its_own_markdown(run, tmp_path) -> None:
    with pytest.raises(UserError, match=r"must end with \.html, but got .*report\.md"):
        run.report(tmp_path / "report.md")


def test_a_folder_that_cannot_be_written_is_one_line(run, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"must be writable, but got: .*make the report again") as e:
        run.report(tmp_path / "file" / "report.html")
    assert "\n" not in str(e.value)


def test_a_folder_without_permission_is_one_line_and_keeps_the_old_report(
    run, tmp_path, monkeypatch
) -> None:
    (tmp_path / "report.html").write_text("old")

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "write_bytes", refused)  # root may write anywhere
    with pytest.raises(UserError, match="Permission denied"):
        run.report()
    assert (tmp_path / "report.html").read_text() == "old"


def test_the_page_says_first_what_came_out_and_last_where_it_comes_from(run) -> None:
    page = Page(pages.html(document(run)))
    (verdict,) = results.verdicts(run.finals)
    assert "At budget 0.5 the searched widths are better" in verdict.sentence
    assert page.text.index(verdict.sentence) < page.text.index("search: val. %")
    for words in (
        "small residual CNN on digits · 9 trials · started 2026-01-01 12:00 · search took 1 min",
        "· 1 still running",
        "the network's output",
        "FLOPs of 9 policies agree with fvcore.",
        "reads of the test split 9",
        "train.mode finetune",
        "commit abc1234",
        "device cpu",
        "seeds 0, 1, 2",
        "digits-1",
    ):
        assert words in page.text


def test_provenance_adds_up_the_reads_of_both(run, provenance) -> None:
    arm = results.ArmRecord(
        *("0.5", "uniform", "predefined", False, None, Policy({"stem": 8}), 1, 0.5, 1),
        *("scratch-e", "", 0.1, 2, 0),
    )
    arms = tuple(replace(arm, seed=seed, test_accuracy=0.9) for seed in (1, 7))
    compared = results.Comparison({"seeds": 2}, arms, notes=("One of the rates diverged.",))
    provenance |= {"train_images": 50_000, "test_images": 10_000, "base_epochs": 1}
    both = make_run(run.records, run.finals, provenance, compared=compared)
    text = Page(pages.html(document(both))).text
    assert "reads of the test split 11: 9 by the search and 2 by the comparison" in text
    assert "images 50,000 to train, 10,000 to test" in text
    assert "training of the unpruned network 1 epoch " in text
    assert "seeds 0, 1, 2, 7" in text
    assert "One of the rates diverged." in text


def test_every_section_is_reachable_from_the_top(run) -> None:
    page = Page(pages.html(document(run)))
    ids = [a["id"] for tag, a in page.tags if tag == "section"]
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert links == [f"#{each}" for each in ids]
    assert (ids[0], ids[-1]) == ("decision", "audit")
    folded = [a["id"] for tag, a in page.tags if tag == "details" and "id" in a]
    assert folded[-1] == "provenance"


def test_blocks_become_html() -> None:
    table = Table(
        [Column("", label=True), Column("τ", numeric=True), Column("note", minor=True)],
        [["a", "1", "x" * 50], ["b", "2", ""]],
        marked=frozenset({1}),
    )
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>'
    blocks = [Paragraph("soft", "soft"), Figure("f", svg, "A <b>", table), Figure("g", svg, "B")]
    source = pages.html(Document("T", "lead", [Section("s", "S", [*blocks, table])]))
    page = Page(source)
    assert page.pictures == ["A <b>", "B"]
    assert source.count('<div class="pictures">') == 1  # side by side
    assert source.count("<details>") == 1
    assert '<p class="soft">soft</p>' in source
    assert '<tr class="marked"><th scope="row" class="label">b</th><td class="n">2</td>' in source
    assert '<th scope="col" class="n">τ</th><th scope="col" class="minor long">note</th>' in source


def test_the_page_needs_no_network(records, finals, provenance) -> None:
    page = Page(html(records, finals, provenance))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe"}
    for _, attributes in page.tags:
        targets = [v for k, v in attributes.items() if k in ("href", "src", "xlink:href")]
        assert all(target is not None and target.startswith(("#", "data:")) for target in targets)


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
    assert "There is no baseline, and no trial was trained to the end." in page.text
    assert page.pictures == []
    assert "FLOPs" in printed([], [], EMPTY)


def test_only_failed_trials(records, provenance) -> None:
    failed = [replace(records[7], number=i) for i in range(3)]
    page = Page(html(failed, [], provenance))
    assert "no searched or uniform widths were trained to the end" in page.text
    assert "baseline 100.0 40.0 k 95.00" in page.text.replace("1.00 M ", "")


def test_a_running_study_shows_the_front_without_test_accuracy(records, provenance) -> None:
    page = Page(html(records, [], provenance))
    assert "no searched or uniform widths were trained to the end" in page.text
    assert [row.name for row in networks(make_run(records, [], provenance))] == [
        "baseline",
        "uniform at 0.5",
        "trial 5 (tpe)",
    ]


def test_before_the_finals_the_unpruned_network_has_its_size_and_no_accuracy(
    records, provenance
) -> None:
    provenance["baseline"] = {"flops": 1_000_000, "params": 40_000}
    page = Page(html(records, [], provenance))
    assert "baseline 1.00 M 100.0 40.0 k – – –" in page.text


def test_trained_trials_without_a_complete_one(records, provenance) -> None:
    page = Page(html([records[6], records[8]], [], provenance))
    assert "2 trials" in page.text


def test_several_budgets_each_have_their_verdict(record, final, provenance) -> None:
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
    made = make_run(records, finals, provenance)
    assert [row.name for row in networks(made)] == [
        "baseline",
        "uniform at 0.7",
        "trial 1 (tpe)",
        "uniform at 0.5",
        "trial 3 (tpe)",
        "uniform at 0.3",
        "trial 5 (tpe)",
    ]
    assert [(c.name, c.trials) for c in counts(made)] == [("0.7", 2), ("0.5", 2), ("0.3", 2)]
    page = Page(html(records, finals, provenance))
    assert page.text.count("with each of 3 seeds") == 3


def test_trials_above_every_budget_are_counted_apart(record, provenance) -> None:
    made = make_run([record(1, (0.5,), flops=400_000), record(2, flops=600_000)], [], provenance)
    counted = [(c.name, c.trials, c.trained, c.best) for c in counts(made)]
    assert counted == [("0.5", 1, 1, 0.5), (None, 1, 0, None)]


def test_the_uniform_start_as_best_policy_is_shown_once(records, finals, provenance) -> None:
    best = replace(finals[2], policy=records[0].policy, name="trial 0", number=0)
    made = make_run(records, [*finals[:2], best], provenance)
    assert [(row.name, row.best) for row in networks(made)] == [
        ("baseline", False),
        ("uniform at 0.5", True),
        ("trial 5 (tpe)", False),
    ]
    page = Page(html(records, [*finals[:2], best], provenance))
    assert "found nothing better than uniform" in page.text


def test_terminal_table_fits_and_holds_the_verdict(records, finals, provenance) -> None:
    lines = printed(records, finals, provenance).splitlines()
    assert max(map(len, lines)) <= 80
    baseline = "baseline 1.00 M 100.0 20.0 k 90.20 \N{PLUS-MINUS SIGN} 0.50 (3)"
    assert " ".join(lines[1].split()) == baseline
    assert lines[2].startswith("uniform at 0.5")
    assert lines[3].startswith("trial 5 (tpe)")
    assert "At budget 0.5 the searched widths are better" in " ".join(lines)


def test_what_is_in_no_count_is_named_beside_the_table(records, finals, provenance) -> None:
    assert "ot counted" not in printed(records, finals, provenance)
    assert "ot counted" not in html(records, finals, provenance)
    places = [*(f"layer{i}.conv" for i in range(5)), ""]
    provenance["uncounted"] = [{"module": place, "operation": "deform"} for place in places]
    said = "Not counted: deform in layer0.conv, layer1.conv, layer2.conv and 3 more (so budgets are"
    assert said in " ".join(printed(records, finals, provenance).split())
    assert said in Page(html(records, finals, provenance)).text


def test_terminal_table_takes_names_as_they_are(records, provenance) -> None:
    named = [replace(r, origin="[bold]x[/nonsense]") for r in records[1:]]
    assert "trial 5 ([bold]x[/" in printed(named, [], provenance)


def test_public_names_are_sorted_and_there() -> None:
    assert results.__all__ == sorted(results.__all__)
    assert all(hasattr(results, name) for name in results.__all__)


@pytest.mark.parametrize(
    "key", ["budgets", "groups", "baseline", "full_flops", "frozen", "seconds"]
)
def test_any_key_of_the_provenance_may_be_absent(records, finals, provenance, key: str) -> None:
    del provenance[key]
    with undrawn():
        page = Page(html(records, finals, provenance))
    assert "At budget 0.5 the searched widths" in page.text
