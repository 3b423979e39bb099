"""Weights & Biases: a run of its own for each run, in WANDB_PROJECT or ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import wandb

from results.record import TrialRecord
from results.training import PURPOSES, TrainingRecord
from search.loggers import facts
from search.loggers.logger import BegunRun, Logger

if TYPE_CHECKING:
    from results.run import Run

# A training's purpose may be any; those of ours have axes of their own.
GROUPS = [purpose.replace(" ", "_") for purpose in PURPOSES]


class WandbLogger(Logger):
    """A row of history for each trial and training; W&B's own variables say where it goes."""

    def begin(self, run: BegunRun) -> None:
        self._ended, self._metric = False, run.about.metric
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", facts.PROJECT),
            id=run.id,
            name=run.name,
            resume="allow",
            dir=run.folder,
            config={**run.options, "commit": run.about.commit, "device": run.about.device},
        )
        # Trials end in any order, so W&B's own count of rows is no axis.
        self._run.define_metric("trial/*", step_metric="trial/number")
        for group in GROUPS:
            self._run.define_metric(f"{group}/*", step_metric="training")

    def trial(self, record: TrialRecord) -> None:
        figures = facts.of_trial(record, self._metric)
        row = {f"trial/{name}": value for name, value in figures.items()}
        words = {"trial/origin": record.origin, "trial/state": record.state}
        self._run.log({"trial/number": record.number, **row, **words})

    def training(self, record: TrainingRecord, number: int) -> None:
        group = facts.group_of(record)
        figures = facts.of_training(record, self._metric)
        row = {f"{group}/{name}": value for name, value in figures.items()}
        self._run.log({"training": number, **row})

    def end(self, run: Run) -> None:
        self._run.summary.update({**facts.of_run(run), "decision": facts.words_of(run)})
        front = run.front.astype(object)
        rows = front.where(front.notna(), None).to_numpy().tolist()
        self._run.log({"front": wandb.Table(columns=list(front), data=rows)})
        report = wandb.Artifact(f"report-{self._run.id}", type="report")
        report.add_file(str(run.folder / "report.html"))
        self._run.log_artifact(report)
        self._ended = True

    def close(self) -> None:
        self._run.finish(exit_code=0 if self._ended else 1)


def logger() -> Logger:
    """One for a run."""
    return WandbLogger()
