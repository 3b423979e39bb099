"""What a command would do, as ``--dry-run`` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from results import text
from search.evaluation.jobs import TrainingJob
from search.task.inspect import described
from spaces import Space
from spaces.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Trainings:
    """So many trainings of a kind, each of so many epochs.

    Attributes:
        estimated: whether the number depends on what is found.
    """

    kind: str
    number: int
    epochs: tuple[float, ...]
    estimated: bool = False

    @classmethod
    def of(cls, kind: str, jobs: Sequence[TrainingJob], estimated: bool = False) -> Trainings:
        """These jobs."""
        return cls(kind, len(jobs), tuple(sorted({job.spec.epochs for job in jobs})), estimated)


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What a command would do.

    Attributes:
        trials: how many policies are still to be tried.
        time: the forecast, in a line.
        memory: the most bytes that the work took while it was prepared and timed.
        device: ``cpu`` or ``cuda``, whose memory that is.
        processes: how many have as much.
        disk: bytes by which the run's folder grows.
        free: bytes that there are.
    """

    space: Space
    example: Inputs
    trials: int
    trainings: tuple[Trainings, ...]
    time: str
    memory: int
    device: str
    processes: int
    disk: int
    free: int

    @property
    def lines(self) -> Iterator[str]:
        """What it takes, a line each."""
        if self.trials:
            yield f"policies to try: {self.trials}"
        yield self.time
        each = f" in each of {self.processes} processes" if self.processes > 1 else ""
        on = " of the GPU" if self.device == "cuda" else ""
        measured = "as measured on a part of the work"
        yield f"memory{on}: about {text.count(self.memory)}B{each}, {measured}"
        short = "; that is too little" if self.disk > self.free else ""
        yield f"disk: about {text.count(self.disk)}B, {text.count(self.free)}B are free{short}"


def shown(foreseen: Foreseen) -> RenderableType:
    """The groups, the trainings, and what they take."""
    lines = [Text(line) for line in foreseen.lines]
    note = Text("A dry run: nothing was trained, and no run was begun.", style="dim")
    space = described(foreseen.space, foreseen.example)
    return Group(space, Text(), _table(foreseen.trainings), Text(), *lines, Text(), note)


def _table(trainings: Sequence[Trainings]) -> RenderableType:
    table = Table("trainings", box=None, header_style="bold", pad_edge=False)
    for title in ("number", "epochs each"):
        table.add_column(title, justify="right")
    for each in trainings:
        if each.number:
            about = "about " if each.estimated else ""
            epochs = ", ".join(f"{n:g}" for n in each.epochs)
            table.add_row(each.kind, f"{about}{each.number}", epochs)
    return table if table.row_count else Text("nothing is left to train")
