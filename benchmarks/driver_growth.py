"""What a trial costs the driver as trials pile up: ``python benchmarks/driver_growth.py``.

Fills a study with trials that ended, as a long search would have left them, and lets a ledger run
twenty more whose rungs cost nothing. Prints, for every length, the milliseconds a trial that go
into the sampler, the storage and the ledger, and how the longest study compares with the shortest.
Milliseconds are of this process's CPU, which other work on the machine does not stretch; where a
database server has to answer, of the clock on the wall.

    python benchmarks/driver_growth.py --model resnet50 --at 100 1000 10000
    python benchmarks/driver_growth.py --storage postgresql://me@localhost/scratch
    python benchmarks/driver_growth.py --unbounded      the sampler is shown the whole study
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from optuna.study import Study
from studies import discovered, fill, opened, where_to

from results.optuna_private import storage_of
from results.record import Candidate
from results.rules import next_rung
from search.config import SearchConfig
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import RungResult
from search.policies import memory
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.study.ledger import Ledger
from search.study.peers import OpenStudy
from spaces import Budget

MEASURED = 20
PARTS = ("sampler", "storage", "ledger")


class Clock:
    """Adds up the seconds spent in each part; time inside another part counts there alone."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.now = now
        self._open: list[str] = []
        self._since = now()

    def _charge(self) -> None:
        now = self.now()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        self._charge()
        self._open.append(part)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, on the clock."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self(part):
                return function(*args, **kwargs)

        return call


class FreeEvaluator(Evaluator):
    """Every rung is done at once; half of the trials stop, as in a real search."""

    def evaluate_rung(self, candidate: Candidate, rung: int, seed: int) -> RungResult:  # noqa: ARG002
        score = seed % 1000 / 1000
        return RungResult(rung, 0.0, proxies={"adaptive_bn": score}, accuracy=score, epochs=1)


def timed_calls(thing: Any, part: str, clock: Clock) -> None:
    """Put every public method of one object on the clock."""
    for name in dir(type(thing)):
        method = getattr(thing, name)
        if not name.startswith("_") and callable(method):
            setattr(thing, name, clock.timed(part, method))


def climbed(study: Study, evaluator: Evaluator, clock: Clock) -> float:
    """Let ``MEASURED`` more trials run on the clock; the seconds until the first was done."""
    began, have = clock.now(), len(study.get_trials(deepcopy=False))
    ledger = Ledger(OpenStudy(study), evaluator, have + 1 + MEASURED, watch=lambda _: None)
    one_trial(ledger, evaluator)  # which takes in what was filled in: off the clock
    opening = clock.now() - began
    clock.seconds.clear()
    with clock("ledger"):
        for _ in range(MEASURED):
            one_trial(ledger, evaluator)
    return opening


def one_trial(ledger: Ledger, evaluator: Evaluator) -> None:
    """The next trial, as far as it climbs."""
    record = ledger.next()
    while record is not None and record.state == "running":
        rung = next_rung(record)
        record = ledger.add(record, evaluator.evaluate_rung(record.candidate, rung, record.seed))


def measure(options: argparse.Namespace) -> Iterator[tuple[int, float, dict[str, float]]]:
    """For every length: trials, seconds until one more is done, milliseconds a trial by part."""
    served = "://" in (options.storage or "")
    space, clock = (
        discovered(options.model),
        Clock(time.perf_counter if served else time.process_time),
    )
    inner = make(options.sampler, Plan(seed=0, trials=10_000, workers=options.workers))
    sampler = BudgetSampler(inner, space, [Budget.parse("0.5")], seed=0)
    sampler.sample_relative = clock.timed("sampler", sampler.sample_relative)  # type: ignore[method-assign]
    evaluator = FreeEvaluator(
        task=None,  # type: ignore[arg-type]
        space=space,
        scores={},
        config=SearchConfig(),
    )
    with opened(options.storage, sampler) as study:
        timed_calls(storage_of(study), "storage", clock)
        for trials in options.at:
            fill(study, space, trials)
            opening = climbed(study, evaluator, clock)
            yield trials, opening, {p: clock.seconds[p] * 1000 / MEASURED for p in PARTS}


def main(argv: Sequence[str]) -> None:
    """Print one line a length, then the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="digits_cnn")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--workers", type=int, default=1, help="above 1: the constant liar")
    parser.add_argument("--storage", help="memory or a URL (default: SQLite as a run opens it)")
    parser.add_argument("--at", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--unbounded", action="store_true")
    options = parser.parse_args(argv)
    if options.unbounded:
        memory.SHOWN = sys.maxsize
    groups, where = len(discovered(options.model).groups), where_to(options.storage)
    print(f"{options.model}, {groups} groups, {options.sampler}, {where}; milliseconds a trial")
    lines = []
    for trials, opening, parts in measure(options):
        lines.append(parts | {"together": sum(parts.values())})
        shown = "   ".join(f"{part} {ms:6.1f}" for part, ms in lines[-1].items())
        print(f"{trials:7} ended   {shown}   (first {opening:.1f} s)", flush=True)
    ratios = (f"{part} {lines[-1][part] / lines[0][part]:6.2f}" for part in lines[0])
    print(f"last over first:{'   '.join(ratios):>60}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
