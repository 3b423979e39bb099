"""TensorBoard: event files in the run's folder, ``tensorboard --logdir runs`` shows all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.utils.tensorboard import SummaryWriter

from results.pareto import trial_front
from results.record import TrialRecord
from results.training import TrainingRecord
from search.loggers import facts
from search.loggers.logger import BegunRun, Logger

if TYPE_CHECKING:
    from results.run import Run

FOLDER = "tensorboard"
"""In the run's folder; a run that is gone on with has a further file there."""

FLUSH_SECONDS = 10


class TensorBoardLogger(Logger):
    """Scalars by number of trial or training; the front's by FLOPs."""

    def begin(self, run: BegunRun) -> None:
        self._options, self._metric = facts.plain_options(run.options), run.about.metric
        self._writer = SummaryWriter(run.folder / FOLDER, flush_secs=FLUSH_SECONDS)
        rows = [f"| {name} | {value} |" for name, value in self._options.items()]
        self._writer.add_text("options", "\n".join(["| option | value |", "|---|---|", *rows]), 0)

    def trial(self, record: TrialRecord) -> None:
        for name, value in facts.of_trial(record, self._metric).items():
            self._writer.add_scalar(f"trial/{name}", value, record.number)

    def training(self, record: TrainingRecord, number: int) -> None:
        group = facts.group_of(record)
        for name, value in facts.of_training(record, self._metric).items():
            self._writer.add_scalar(f"{group}/{name}", value, number)

    def end(self, run: Run) -> None:
        for record in trial_front(run.records):
            value = self._metric.sign * record.val_accuracy
            self._writer.add_scalar(f"front/{self._metric.column('val')}", value, record.flops)
        said = f"{facts.words_of(run)}\n\nThe report: {run.folder.resolve() / 'report.html'}"
        self._writer.add_text("decision", said, 0)
        self._writer.add_hparams(self._options, facts.of_run(run), run_name=".")

    def close(self) -> None:
        self._writer.close()


def logger() -> Logger:
    """One for a run."""
    return TensorBoardLogger()
