"""The Markdown, read back by markdown-it, which knows GitHub's tables."""

from __future__ import annotations

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from runs import make_run

import results
from results.reporting.blocks import Bullets, Column, Document, Figure, Paragraph, Section, Table
from results.reporting.files import write
from results.reporting.markdown import escape, markdown, pipes

READER = MarkdownIt("commonmark").enable("table")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9pt" viewBox="0 0 9 9"><g/></svg>'


def shown(source: str) -> str:
    """What a reader sees of one paragraph; markup in it would be a token of its own."""
    opened, inline, _ = READER.parse(source)
    assert opened.type == "paragraph_open"
    return seen(inline)


def seen(inline: Token) -> str:
    children = inline.children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)


def cells(source: str) -> list[list[str]]:
    """The rows of the table that ``source`` is, and nothing else is."""
    tokens = READER.parse(source)
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(seen(token))
    return rows


@pytest.mark.parametrize(
    "words",
    [
        *("# x", "1. x", "12) x", "- x", "+ x", "> x", "---", "=", "\\", "a|b", "a\\|b", "$x$"),
        *("a*b*", "__init__", "_x_", "~~x~~", "`x`", "<b>x</b>", "&amp;", "[a](b)", "![a](b)"),
    ],
)
def test_what_would_be_markup_is_shown_as_it_is(words: str) -> None:
    assert shown(escape(words)) == words


def test_ordinary_words_stay_as_they_are() -> None:
    for words in ("second_order", "blocks.0.conv1", "98.52 ± 0.42", "+0.43", "−0.1", "0.5"):
        assert escape(words).removeprefix("\\") == words  # a plus might open a list


@given(st.text().map(lambda words: " ".join(words.split())).filter(bool))
def test_any_line_survives(words: str) -> None:
    assert shown(escape(words)) == words.replace("\0", "\ufffd")


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1, max_size=4))
def test_no_cell_breaks_out_of_its_table(rows: list[list[str]]) -> None:
    table = Table([Column("a|b"), Column("", numeric=True)], rows)
    plain = [[" ".join(c.split()).replace("\0", "\ufffd") for c in row] for row in rows]
    assert cells(pipes(table)) == [["a|b", ""], *plain]


def test_marked_rows_are_bold_and_numbers_stand_right() -> None:
    table = Table([Column("x"), Column("n", numeric=True)], [["a", "1"], ["b", ""]], frozenset({1}))
    assert pipes(table) == "| x | n |\n| --- | ---: |\n| a | 1 |\n| **b** |  |"


def test_pictures_are_files_with_captions_and_folded_tables() -> None:
    table = Table([Column("x")], [["1"]], folded="More & more")
    blocks = [
        Paragraph("A verdict.", "verdict"),
        Bullets(["one", "two"]),
        Figure("front", SVG, "Up [and] left.", Table([Column("y")], [["2"]])),
        table,
    ]
    text, pictures = markdown(Document("T", "lead", [Section("s", "S", blocks)]), "my figures")
    assert list(pictures) == ["my figures/front.svg"]
    assert "**A verdict.**" in text
    assert "- one\n- two" in text
    assert "![Up \\[and\\] left.](my%20figures/front.svg)" in text
    assert text.count("<details><summary>") == 2
    assert "<summary>More &amp; more</summary>\n\n| x |\n| --- |\n| 1 |\n\n</details>" in text


def test_pictures_are_whole_files_that_can_be_read_on_a_dark_page() -> None:
    _, pictures = markdown(
        Document("T", "", [Section("s", "S", [Figure("f", SVG, "c")])]), "figures"
    )
    root = ElementTree.fromstring(pictures["figures/f.svg"])
    assert root.tag.endswith("svg")
    assert root[0].attrib == {"width": "100%", "height": "100%", "fill": "white"}


def test_a_whole_run(tmp_path, records, finals, provenance) -> None:
    run = make_run(records, finals, provenance, tmp_path)
    run.report()
    text = (tmp_path / "report.md").read_text()
    (verdict,) = results.verdicts(finals)
    assert text.startswith("# Pruning search: digits-1\n")
    assert escape(verdict.sentence) in text
    wanted = [unquote(each) for each in re.findall(r"\]\(([^)]*\.svg)\)", text)]
    there = [str(each.relative_to(tmp_path)) for each in tmp_path.glob("report_figures/*")]
    assert sorted(wanted) == sorted(there)
    for picture in there:
        assert ElementTree.parse(tmp_path / picture).getroot().tag.endswith("svg")


def test_pictures_that_a_new_report_has_not_are_deleted(tmp_path) -> None:
    def document(*names: str) -> Document:
        return Document("T", "", [Section("s", "S", [Figure(name, SVG, "c") for name in names])])

    page, own = tmp_path / "a.html", tmp_path / "a_figures" / "notes.txt"
    for names in (("f", "g"), ("g", "h"), ()):
        write(document(*names), page)
        assert {p.stem for p in own.parent.glob("*.svg")} == set(names)
        own.write_text("mine")
    assert own.read_text() == "mine"
