"""Progress: lines where there is no terminal, and how long the rest takes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from search import progress as module
from search.progress import Progress, Stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def shown() -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(Console(file=out, width=80)), out


def test_the_rest_is_foretold_at_the_pace_so_far(clock: list[float]) -> None:
    progress, out = shown()
    progress.begin([Stage("trials", 10, 100.0), Stage("trainings", 4, 40.0)])
    clock[0] += 30.0  # three times as long as was forecast
    progress.advance("trials", note="best 93.00 %")
    assert out.getvalue() == "trials 1/10  best 93.00 %, 390 s left\n"


def test_what_was_done_before_says_nothing_of_the_pace(clock: list[float]) -> None:
    progress, out = shown()
    progress.begin([Stage("trials", 10, 100.0, done=5)])
    clock[0] += 20.0
    progress.advance("trials")
    assert out.getvalue() == "trials 6/10  80 s left\n"


def test_at_most_one_line_in_a_while_but_for_a_new_stage(clock: list[float]) -> None:
    progress, out = shown()
    progress.begin([Stage("trials", 3, 3.0), Stage("trainings", 9, 9.0)])
    progress.advance("trials")
    progress.advance("trials")
    clock[0] += module.PAUSE_SECONDS
    progress.advance("trials")
    progress.resize("trainings", 2)
    progress.advance("trainings")
    said = [line.split("  ")[0] for line in out.getvalue().splitlines()]
    assert said == ["trials 1/3", "trials 3/3", "trainings 1/2"]


def test_without_a_console_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.begin([Stage("trials", 1, 1.0)])
        progress.working("decoding the images", 1, 2)
        progress.advance("trials")
        progress.say("nothing")
    assert capsys.readouterr() == ("", "")
