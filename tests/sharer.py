"""One process of several that share a study, with an evaluator that only sleeps.

``main([URL, FOLDER, SPACE, TRIALS, SECONDS])`` ends like a run does: when every trial of the study
has ended. It writes ``<policy> <rung>`` to FOLDER/measured for every rung it measures.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from evaluators import ToyEvaluator, toy

from search.engines.local import Local
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import Start
from search.sharing.storage import share_study
from search.study.peers import OpenStudy
from search.study.storage import enqueue
from search.time_limit import NO_LIMIT, TimeLimit
from spaces import Budget, Policy, Space

HALF = Budget.parse("0.5")


@dataclass(frozen=True)
class Slow:
    """Notes what is measured, and takes its time over it; nothing goes wrong."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, policy: Policy, rung: int, _seed: int) -> None:
        with open(self.folder / "measured", "a") as file:
            file.write(f"{policy.key} {rung}\n")
        time.sleep(self.seconds)


def measured(*folders: Path) -> Counter[str]:
    """How often each rung of each policy was measured: ``<policy> <rung>``."""
    files = [folder / "measured" for folder in folders]
    return Counter(line for f in files if f.exists() for line in f.read_text().splitlines())


@contextmanager
def shared(url: str, folder: Path, space: Space) -> Iterator[OpenStudy]:
    """The study ``toys``, as a run in ``folder`` opens it."""
    folder.mkdir(parents=True, exist_ok=True)
    sampler = BudgetSampler(make("random", Plan(0, 12)), space, [HALF], seed=0)
    with share_study(url, "toys", f"here:{folder}", folder / "unsaved", sampler) as opened:
        study = opened.study
        begun = partial(_is_begun, study)
        with opened.peers.exclusively("begins", begun, print) as ours:
            if ours:
                enqueue(study, [Start(space.uniform(HALF), HALF, "uniform")])
                study.set_user_attr("begun", True)
        yield opened


def _is_begun(study: optuna.Study) -> bool:
    return "begun" in study.user_attrs


def work(
    opened: OpenStudy, evaluator: ToyEvaluator, trials: int, limit: TimeLimit = NO_LIMIT
) -> None:
    """Until every trial of the study has ended, or the limit is reached."""
    run = partial(Local().run, opened, evaluator, trials, lambda _: None, limit)
    opened.peers.until_ended(trials, run, print, limit)


def main(arguments: Sequence[str]) -> int:
    """On the study at URL, in FOLDER; SPACE is the file of a pickled space."""
    url, folder, pickled, trials, seconds = arguments
    space = pickle.loads(Path(pickled).read_bytes())
    with shared(url, Path(folder), space) as opened:
        work(opened, toy(space, Slow(Path(folder), float(seconds)), explore=1.0), int(trials))
    return 0
