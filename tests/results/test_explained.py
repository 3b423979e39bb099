"""Words that a page explains where they stand."""

from __future__ import annotations

from results.metric import ACCURACY
from results.reporting.blocks import Document, Paragraph, Section, head
from results.reporting.blocks import Table as Rows
from results.reporting.explained import Explained
from results.reporting.html import html
from results.reporting.sections.words import WORDS, words

MEANT = {"rung": "a <step>", "noise ceiling": "the most", "noise": "n", "scratch-b+": "more"}


def test_the_first_use_has_the_meaning() -> None:
    explained = Explained(MEANT)
    assert explained("Rungs & rung 2") == (
        '<abbr title="a &lt;step&gt;" tabindex="0">Rungs</abbr> &amp; rung 2'
    )
    assert explained("rung") == "rung"
    explained.begin()
    assert "abbr" in explained("rung")
    explained.begin(explains=True)
    assert explained("rung <") == "rung &lt;"


def test_only_whole_words_are_meant_and_the_longest_first() -> None:
    explained = Explained(MEANT)
    assert explained("my_rung, rung_2, sub-rung, wrung") == "my_rung, rung_2, sub-rung, wrung"
    assert explained("noise ceiling").count("abbr title") == 1
    assert 'title="the most"' in str(Explained(MEANT)("the noise ceiling"))
    assert Explained(MEANT)("scratch-b") == "scratch-b"
    assert 'title="more"' in str(Explained(MEANT)("of scratch-b+."))


def test_a_page_explains_every_word_in_every_section_but_the_one_of_words() -> None:
    meant = words(ACCURACY)
    said = Paragraph(" ".join(f"({word})" for word in WORDS))
    table = Rows(head("word", "damage"), [["rung", "1"]])
    sections = [Section("a", "A", [said, table]), Section("b", "B", [said])]
    page = html(Document("T", "", [*sections, Section("words", "W", [said, table])], meant))
    assert page.count("<abbr ") == 2 * len(WORDS)
    assert "<abbr" not in html(Document("T", "", sections))
