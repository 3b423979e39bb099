"""``--dry-run``: what a search or a comparison would train, and what that takes. Nothing stays.

The run is prepared as ever and timed, in a temporary folder; of one that has begun, that has a copy
of the study. Nothing is trained to be kept, not even the unpruned network.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

import results
from results.record import Candidate
from results.training import COMPARISON, RATES, TrainingSpec
from search import remaining
from search.comparison.comparer import Comparer
from search.comparison.config import CompareConfig
from search.comparison.resuming import check_finished, settled
from search.comparison.structures import SLIMMING
from search.connected import engine_of
from search.evaluation.jobs import TrainingJob
from search.folder import FINISHED, Folder
from search.forecast import (
    BASELINE,
    REPORT,
    REPORT_SECONDS,
    TRAININGS,
    TRIALS,
    measured_speed,
    reaching,
    told,
)
from search.foreseen import Foreseen, Trainings
from search.plans.finals import EXPECTED
from search.progress import Progress
from search.remaining import following, sweep_of
from search.session import Session, session
from search.stages import Stage, Stages
from search.study.open import unchanged
from search.task.baseline import usual_epochs
from search.task.fit import Check, savable
from search.task.prepare import prepare
from search.time_limit import TimeLimit
from spaces import UserError

SCORES = "scores.pt"
KEPT = ("config.json", SCORES, FINISHED, "study.db*")
"""Files of a run from which it goes on."""
RECORD_BYTES, FIXED_BYTES = 3_000, 6_100_000
"""On disk. A trial or a training has so many in study, log and tables, with six groups of channels;
the report with its figures has 1.6 MB, an empty study with its tables 0.3 MB, and while the run
goes on SQLite keeps a journal of up to 4.2 MB. Measured on the default run."""


def dry_search(folder: Folder, progress: Progress) -> Foreseen:
    """What a search would do in that folder, or what is left of it.

    Raises:
        UserError: as the search itself would, before its first training.
    """
    with _prepared(folder, progress) as s:
        rest, sweep, at_once = following(s), sweep_of(s), s.run.engine.at_once
        baseline, rates = _baseline(s), rest.trainer.missing(sweep.jobs if sweep else ())
        speed = measured_speed(s.evaluator, s.run.budgets[0], s.run.engine)
        seconds = speed.of_trainings(baseline, s.run.space, 1)
        stages = [Stage(BASELINE, len(baseline), seconds)]
        stages += remaining.stages(rest, speed, sweep, at_once)
        _limit(stages, s.run.config.run.max_hours)
        estimated = rest.to_come > 0
        trainings = [
            Trainings.of("unpruned network", baseline),
            Trainings.of(RATES, rates),
            *_of_rungs(s, rest.to_come),
            *(Trainings.of(kind, jobs, estimated) for kind, jobs in rest.by_purpose.items()),
        ]
        records = rest.to_come + len(rates) + len(rest.jobs)
        disk = records * RECORD_BYTES + _networks(s)
        if not rest.records:
            disk += (s.run.folder.path / SCORES).stat().st_size
        return _foreseen(s, rest.to_come, trainings, stages, disk)


def dry_comparison(
    folder: Folder, options: CompareConfig, progress: Progress, *checks: Check
) -> Foreseen:
    """What a comparison would do with a run, or what is left of it; errors as of the comparison.

    Args:
        checks: of the network, made besides those of a search.
    """
    check_finished(results.load(folder.path, folder.config.run.storage), folder)
    with _prepared(folder, progress, *checks, distils=options.distils) as s:
        planned = Comparer(s, settled(options, s.evaluator)).planned(options.anew)
        jobs, seconds = [job for each in planned.values() for job in each], 0.0
        if jobs:
            speed = measured_speed(s.evaluator, s.run.budgets[0], s.run.engine)
            seconds = speed.of_trainings(jobs, s.run.space, s.run.engine.at_once)
        stages = [Stage(TRAININGS, len(jobs), seconds), Stage(REPORT, 1, REPORT_SECONDS)]
        # Slimming's widths are still to be found, and may equal others.
        estimated = {COMPARISON} if SLIMMING in options.structures else set()
        trainings = [Trainings.of(kind, each, kind in estimated) for kind, each in planned.items()]
        return _foreseen(s, 0, trainings, stages, len(jobs) * RECORD_BYTES)


@contextmanager
def _prepared(
    folder: Folder, progress: Progress, *checks: Check, distils: bool = False
) -> Iterator[Session]:
    """A session on the run in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="dry-run-") as name:
        there = _copied(folder, Path(name))
        with engine_of(there, progress, lambda: folder.resume_command) as engine:
            every = (unchanged(there), savable, *checks)
            run = prepare(there, engine, None, progress, *every, distils=distils, trains=False)
            with session(run, "checkpoints") as s:
                yield s


def _copied(folder: Folder, where: Path) -> Folder:
    if folder.begun and folder.config.run.storage is not None:
        raise UserError(
            f"--dry-run takes a copy of a study, but that of {folder.path} is in a database; leave "
            "--dry-run out"
        )
    there = where / folder.path.name
    there.mkdir()
    for pattern in KEPT:
        for file in folder.path.glob(pattern):
            shutil.copy2(file, there)
    return Folder(there, folder.config.having(storage=None))


def _limit(stages: Sequence[Stage], hours: float | None) -> None:
    """Let the trials end early enough for what follows them."""
    whole = Stages(stages)
    whole[TRIALS].ends_at = TimeLimit.of(hours).ends_at - whole.seconds_left(after=TRIALS)


def _baseline(s: Session) -> list[TrainingJob]:
    """The training of the unpruned network, where it is still to come."""
    if s.run.task.base_epochs != 0:
        return []
    rate, epochs = s.evaluator.specs.usual_rate(scratch=True), usual_epochs(len(s.run.task.train))
    spec = TrainingSpec(rate, round(epochs), scratch=True)
    return [TrainingJob(Candidate(s.run.space.full), spec, seed=0, tested=False)]


def _of_rungs(s: Session, trials: int) -> Iterator[Trainings]:
    """The brief trainings of so many trials."""
    config = s.run.config
    for rung, epochs in enumerate(config.judging.rungs, start=1):
        number = round(trials * reaching(config, rung))
        yield Trainings(f"trials at rung {rung}", number, (epochs,), estimated=True)


def _networks(s: Session) -> int:
    """Bytes of the networks that a search keeps: the unpruned one, and at each budget some."""
    space, state = s.run.space, s.run.task.model.state_dict().values()
    whole = sum(t.numel() * t.element_size() for t in state if isinstance(t, Tensor))
    pruned = sum(space.params(space.uniform(budget)) for budget in s.run.budgets)
    return round(whole * (1 + EXPECTED * pruned / space.full_params))


def _foreseen(
    s: Session, trials: int, trainings: Sequence[Trainings], stages: Sequence[Stage], disk: int
) -> Foreseen:
    task, at_once = s.run.task, s.run.engine.at_once
    existing = next(p for p in Path(s.run.config.run.runs_dir).absolute().parents if p.exists())
    return Foreseen(
        space=s.run.space,
        example=task.example,
        trials=trials,
        trainings=tuple(trainings),
        time=told(stages, s.run.progress.seconds),
        memory=_most_memory(task.device),
        device=task.device.type,
        processes=at_once + (at_once > 1),  # this one, and those that train
        disk=disk + FIXED_BYTES,
        free=shutil.disk_usage(existing).free,
    )


def _most_memory(device: torch.device) -> int:
    """The most bytes that this process has had so far, of the device's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # not on Windows
        return 0
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
