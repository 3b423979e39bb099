"""Progress: lines where there is no terminal, and how long the rest takes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from search import progress as module
from search.progress import PAUSE_SECONDS, Progress
from search.stages import Stage, Stages


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
    clock[0] += 40.0
    progress.advance("trials")
    assert out.getvalue() == "trials 6/10  160 s left\n"


def test_what_follows_a_stage_takes_its_forecast_at_the_pace_so_far(clock: list[float]) -> None:
    stages = Stages([Stage("rates", 2, 10.0), Stage("trials", 4, 40.0), Stage("end", 1, 5.0)])
    assert (stages.seconds_left(), stages.seconds_left(after="rates")) == (55.0, 45.0)
    clock[0] += 20.0
    stages["rates"].done = 2
    assert (stages.pace, stages.seconds_left(), stages.seconds_left("trials")) == (2.0, 90.0, 10.0)


def test_no_line_before_a_pause_whatever_the_stage(clock: list[float]) -> None:
    progress, out = shown()
    progress.begin([Stage("trials", 3, 3.0), Stage("trainings", 9, 9.0)])
    for stage in ("trials", "trials", "trainings"):
        progress.advance(stage)
        clock[0] += PAUSE_SECONDS / 4
    assert out.getvalue() == ""
    progress.resize("trainings", 4)
    for _ in range(3):
        clock[0] += PAUSE_SECONDS / 2
        progress.advance("trainings")
    said = [line.split("  ")[0] for line in out.getvalue().splitlines()]
    assert said == ["trainings 2/4", "trainings 4/4"]


def test_whatever_is_said_begins_the_pause_anew(clock: list[float]) -> None:
    progress, out = shown()
    progress.begin([Stage("trials", 2, 3.0)])
    clock[0] += PAUSE_SECONDS
    progress.say("forecast: about 3 s")
    progress.advance("trials")
    assert out.getvalue() == "forecast: about 3 s\n"


def test_a_stage_that_lasted_says_that_it_has_ended(clock: list[float]) -> None:
    progress, out = shown()
    progress.begin([Stage("trials", 2, 3.0), Stage("trainings", 1, 9.0)])
    clock[0] += PAUSE_SECONDS
    for stage in ("trials", "trials", "trainings"):
        progress.advance(stage)
    said = [line.split("  ")[0] for line in out.getvalue().splitlines()]
    assert said == ["trials 1/2", "trials 2/2"]


def test_work_that_was_not_forecast_goes_on_at_its_own_pace(clock: list[float]) -> None:
    progress, out = shown()
    progress.working("cutting single layers", 1, 5)
    clock[0] += PAUSE_SECONDS
    progress.working("cutting single layers", 3, 5)
    assert out.getvalue() == "cutting single layers 3/5  60 %, 30 s left\n"


def test_without_a_console_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.begin([Stage("trials", 1, 1.0)])
        progress.working("decoding the images", 1, 2)
        progress.advance("trials")
        progress.say("nothing")
    assert capsys.readouterr() == ("", "")
