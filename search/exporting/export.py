"""Export of a network of a run: written, read back, compared on real images, and described."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from results import Run
from results.store import plain_errors
from search.data.source import CPU
from search.exporting.as_code import AsCode
from search.exporting.builders import builder
from search.exporting.card import card, title_of
from search.exporting.exported import Exported
from search.exporting.formats import Format, check_installed
from search.exporting.onnx import Onnx
from search.exporting.opened import Chosen, choose, task_of
from search.exporting.pt2 import Pt2
from search.exporting.safetensors import SafeTensors
from search.exporting.subject import ANY, Subject
from search.exporting.trip import round_trip
from search.options import check_plain
from search.progress import Progress
from search.task.task import Task
from spaces import ModelError, UserError, copied, unknown
from spaces.inputs import arguments, tensors

FORMATS: Mapping[str, Format] = {"onnx": Onnx(), "pt2": Pt2(), "safetensors": SafeTensors()}
"""What ``--to`` takes."""
CODE = "code"
"""In the place of a format: ``--as-code``."""
IMAGES = 1000
AGAIN = "export again"


def export(
    run: Run | str | Path,
    trial: int | str | None = None,
    *,
    to: str,
    out: str | Path | None = None,
    batch: int | str = ANY,
    images: int = IMAGES,
    storage: str | None = None,
    task: Task | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a network of a run so that it runs without this package.

    >>> exported = export("runs/digits_small-0.5", to="onnx")                # doctest: +SKIP
    >>> exported.files[0], exported.trip.largest, exported.trip.after

    Nothing is written unless the file, read back, computes what the network does on real images.

    Args:
        run: it, or its folder.
        trial: a trial's number, or a folder in its ``models/``; by default the one to ship.
        to: ``onnx``, ``pt2``, ``safetensors`` or ``code``: Python that rebuilds the network.
        out: the file; by default in a folder of its own in the run's ``exports/``.
        batch: how many images go through it at once; where "dynamic", any number, cannot be had,
            it is one.
        images: how many images of the test split are compared.
        task: it, where the run was begun in Python with a task of its own.

    Raises:
        UserError: what is missing, or what the format cannot say; one line.
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    progress = progress or Progress()
    if to not in (*FORMATS, CODE):
        raise unknown("format", to, [*FORMATS, CODE])
    if batch != ANY and not (str(batch).isdecimal() and int(batch) > 0):
        raise UserError(f"batch must be a whole number of at least 1, or {ANY}, but got {batch!r}")
    if to in FORMATS:
        check_installed(to, FORMATS[to])
    chosen = choose(folder, None if trial is None else str(trial), storage)
    given = task is not None
    task = task_of(chosen.run, progress) if task is None else task.to(CPU)
    format = _code(chosen, task, given) if to == CODE else FORMATS[to]
    target = _target(chosen, to, format, out)
    subject = Subject(
        model=chosen.on(copied(task.model) if task.fresh is None else task.fresh()),
        title=title_of(chosen),
        example=arguments(task.model, task.example),
        widths=dict(chosen.policy),
        batch=None if batch == ANY else int(batch),
    )
    if format.traced:
        progress.waiting("tracing the network")
        subject = subject.traceable()
    return _written(chosen, subject, format, target, task, images, progress)


def _written(
    chosen: Chosen,
    subject: Subject,
    format: Format,
    target: Path,
    task: Task,
    images: int,
    progress: Progress,
) -> Exported:
    """Write the files beside their places, compare, and only then put them there."""
    stem, folder = target.stem, target.parent
    with _room(target) as inside:
        progress.waiting(f"writing {format.title}")
        with plain_errors(str(target), AGAIN):
            format.write(subject, inside, stem)
        progress.waiting("comparing it on real images")
        run = format.read(subject, inside, stem)
        trip = round_trip(
            subject.model,
            run,
            task.test,
            images,
            task.metric.score,
            batch=subject.batch,
            alone=format.traced,
            metric=chosen.run.metric,
        )
        if trip.broken:
            raise ModelError(
                f"the {format.title} file must compute what the network does, but {trip.broken}; "
                "nothing was written"
            )
        exported = Exported(
            chosen=chosen,
            subject=subject,
            format=format,
            trip=trip,
            files=tuple(inside / file for file in format.names(stem)),
            card=inside / f"{stem}_card.md",
        )
        with plain_errors(str(target), AGAIN):
            exported.card.write_text(card(exported, task.test))
            return exported.moved_to(folder)


@contextmanager
def _room(target: Path) -> Iterator[Path]:
    """A temporary folder beside a file; no folder that was made for it stays empty."""
    with plain_errors(str(target), AGAIN):
        target.parent.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent)
    try:
        with room as name:
            yield Path(name)
    finally:
        if not any(target.parent.iterdir()):
            target.parent.rmdir()


def _code(chosen: Chosen, task: Task, is_given: bool) -> AsCode:
    if is_given:
        raise UserError(
            "--as-code needs the name of what builds the network, but the task was made in "
            "Python; search with --model package.module:function, or export --to pt2"
        )
    settings = chosen.run.provenance.settings
    if settings.task is not None:
        raise UserError(
            f"--as-code needs the name of what builds the network alone, but {settings.task} "
            "returns a task; search with --model package.module:function, --loss and --metric, or "
            "export --to pt2"
        )
    model = str(settings.model)
    return AsCode(builder(model, task.classes or 0, tensors(task.example)[0].shape[1]))


def _target(chosen: Chosen, to: str, format: Format, out: str | Path | None) -> Path:
    """The file that is asked for, or one in a folder of its own in the run."""
    if out is None:
        folder = chosen.run.folder / "exports" / f"{chosen.name}-{to}"
        return folder / format.names("model")[0]
    check_plain("--out", str(out))
    path, suffixes = Path(out), [Path(name).suffix for name in format.names("model")]
    if path.is_dir() or not path.name:
        raise UserError(f"--out must name a file, but {str(out)!r} is a folder; name one in it")
    if path.suffix not in ("", *suffixes):
        raise UserError(
            f"--out must end in {' or '.join(suffixes)}, but got {str(out)!r}; give another name"
        )
    return path
