"""MLflow: a run of its own for each run, in MLFLOW_EXPERIMENT_NAME or ours."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from results.record import TrialRecord
from results.training import TrainingRecord
from search.loggers import facts
from search.loggers.logger import BegunRun, Logger

if TYPE_CHECKING:
    from results.run import Run

ID = "pruning_search.id"
"""A tag: MLflow names runs itself, so that of ours is found by it."""

LONGEST = 500
"""Characters of a parameter's value, which every version of MLflow takes."""

FILES = ("report.html", "pareto.csv", "trials.csv")


class MlflowLogger(Logger):
    """Metrics by number of trial or training; MLflow's own variables say where they go.

    It has a client of its own: whatever run the user has active stays so.
    """

    def begin(self, run: BegunRun) -> None:
        self._ended, self._metric = False, run.about.metric
        self._client = MlflowClient()
        experiment = self._experiment()
        found = self._client.search_runs([experiment], f"tags.`{ID}` = '{run.id}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            made = self._client.create_run(experiment, tags={ID: run.id}, run_name=run.name)
            self._id = made.info.run_id
        known = self._client.get_run(self._id).data.params  # none of these may change
        options = facts.plain_options(run.options)
        new = [Param(n, str(v)[:LONGEST]) for n, v in options.items() if n not in known]
        self._client.log_batch(self._id, params=new)

    def trial(self, record: TrialRecord) -> None:
        self._log("trial", facts.of_trial(record, self._metric), record.number)

    def training(self, record: TrainingRecord, number: int) -> None:
        self._log(facts.group_of(record), facts.of_training(record, self._metric), number)

    def end(self, run: Run) -> None:
        self._log("", facts.of_run(run), 0)
        self._client.set_tag(self._id, "decision", facts.words_of(run))
        for name in FILES:
            self._client.log_artifact(self._id, str(run.folder / name))
        self._ended = True

    def close(self) -> None:
        self._client.set_terminated(self._id, "FINISHED" if self._ended else "KILLED")

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", facts.PROJECT)
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _log(self, group: str, figures: Mapping[str, float], step: int) -> None:
        now, where = int(1000 * time.time()), f"{group}/" if group else ""
        metrics = [Metric(f"{where}{n}", float(v), now, step) for n, v in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)


def logger() -> Logger:
    """One for a run."""
    return MlflowLogger()
