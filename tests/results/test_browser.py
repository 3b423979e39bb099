"""The page in a real browser: drawn, reachable, quiet, and fit for a phone and for paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import Browser, Page, find
from runs import make_run

from spaces import Policy

LONG = "features.denseblock4.denselayer16.conv2.a_name_without_an_end"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find()
    if program is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    with Browser(program) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path, records, finals, provenance) -> Path:
    """The page of a run whose names and reasons are as long as they get."""
    policy = Policy({"stem": 8, LONG: 64})
    provenance["groups"] = [{"name": "stem", "channels": 16}, {"name": LONG, "channels": 128}]
    provenance["command"] = f"python search.py --budget 0.5 --model {LONG} --data {LONG * 3}"
    records = [
        replace(r, policy=policy, reason=r.reason and f"{r.reason}: {LONG * 2}") for r in records
    ]
    finals = [replace(f, policy=f.policy and policy, name=f.name) for f in finals]
    return make_run(records, finals, provenance, tmp_path).report()


SIZES = """[...document.querySelectorAll("svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  return [box.width, box.height];
})"""
HIDDEN_LABELS = """[...document.querySelectorAll("[role=img]")]
  .filter(each => !each.getAttribute("aria-label")).length"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FAINT = """(() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("p, th, td, a, summary, li, h1, h2, figcaption")]
    .filter(node => node.textContent.trim())
    .map(node => [light(getComputedStyle(node).color), light(behind(node)), node.outerHTML])
    .filter(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5)
    .map(each => each[2]);
})()"""


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_quiet_drawn_and_no_wider_than_its_window(browser, path, width: int) -> None:
    page = browser.open(path, width)
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith("data:")] == [path.as_uri()]
    sizes = page.evaluate(SIZES)
    assert len(sizes) >= 3
    assert all(100 < w <= width and h > 40 for w, h in sizes)
    assert page.evaluate(OVERFLOW) == 0
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.evaluate(OVERFLOW) == 0  # wide tables scroll within
    assert page.evaluate(HIDDEN_LABELS) == 0
    assert page.evaluate(FAINT) == []


def test_on_a_phone_all_of_a_criterion_is_in_sight(browser, path, record) -> None:
    """Also where uniform widths ended below the top, which takes a word more than a number."""
    ended = {"origin": "uniform", "state": "stopped"}
    records = [record(0, (0.8,), criterion="taylor_2019", **ended), record(1, (0.8, 0.9))]
    budgets = {"budgets": {"0.5": 500_000}}
    make_run(records, [], budgets, path.parent).report()
    page = browser.open(path, 390)
    table = "document.querySelector('#criteria .scroll')"
    assert "stopped at rung 1" in page.evaluate(f"{table}.textContent")
    assert page.evaluate(f"{table}.scrollWidth - {table}.clientWidth") == 0


def anchors(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))"
    )
    return found


@pytest.mark.parametrize("width", [390, 1200])
def test_every_section_can_be_reached(browser, path, width: int) -> None:
    page = browser.open(path, width, height=400)
    links = anchors(page)
    assert (links[0], links[-1]) == ("#decision", "#audit")
    for link in links:
        page.evaluate(f"document.querySelector('nav a[href=\"{link}\"]').click()")
        top = page.evaluate(f"document.querySelector('{link} h2').getBoundingClientRect().top")
        bar = page.evaluate(
            "getComputedStyle(document.querySelector('nav')).position === 'sticky'"
            " ? document.querySelector('nav').getBoundingClientRect().bottom : 0"
        )
        assert bar <= top < 400, link  # in sight, and not under the bar


def test_on_paper_everything_is_there_and_open(browser, path) -> None:
    page = browser.open(path, 1200)
    assert page.pdf().startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print")
    page.resize(700)
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    closed = """[...document.querySelectorAll("details table")]
      .filter(table => table.checkVisibility({contentVisibilityAuto: true}) === false
        || table.getBoundingClientRect().height === 0).length"""
    assert page.evaluate("document.querySelectorAll('details:not([open]) table').length") > 0
    assert page.evaluate(closed) == 0
    assert page.evaluate(OVERFLOW) == 0


def test_the_checks_themselves_see_what_is_wrong(browser, tmp_path) -> None:
    """An error, a request and an overflow in a page that has them."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><script>nothing()</script><img src='missing.png'>"
        "<p style='width: 2000px; color: #ccc'>wide</p>"
    )
    page = browser.open(bad, 390)
    assert len(page.errors) >= 2
    assert len(page.requests) == 2
    assert page.evaluate(OVERFLOW) > 0
    assert len(page.evaluate(FAINT)) == 1
