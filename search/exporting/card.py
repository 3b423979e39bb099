"""The model card: what an exported network is, how good, how it was made, and what was checked."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from results import FinalRecord, Run, text
from results.decision import Decision
from results.intervals import wilson
from results.reporting.blocks import Bullets, Code, Column, Paragraph, Table, head
from results.reporting.markdown import escape, pipes
from results.training import FINALS, TrainingRecord
from search.data.splits import Split
from search.exporting.exported import Exported
from search.exporting.opened import Chosen
from spaces.inputs import tensors

Block = Paragraph | Bullets | Code | Table


def card(exported: Exported, split: Split) -> str:
    """The card as Markdown, in GitHub's dialect."""
    chosen = exported.chosen
    parts = [f"# {escape(exported.subject.title)}", escape(_lead(chosen))]
    sections = {
        "The file": _file(exported, split),
        "What it is worth": _worth(chosen),
        "Policy": _policy(chosen),
        "Data": _data(chosen.run),
        "Training": _training(chosen),
        "Provenance": _provenance(chosen),
    }
    for title, blocks in sections.items():
        parts += [f"## {title}", *map(_markdown, blocks)]
    return "\n\n".join(parts) + "\n"


def title_of(chosen: Chosen) -> str:
    """What the network is, in one line."""
    run, final = chosen.run, chosen.final
    about = run.provenance
    named = about.command and about.settings.task is None
    model = about.settings.model if named else about.task
    if final.role == "baseline":
        return f"{model}, unpruned"
    return f"{model}, pruned to {text.number(final.flops_fraction, 1)} % of its FLOPs"


def _lead(chosen: Chosen) -> str:
    name = {"baseline": "The unpruned network", "uniform": "Uniform widths"}
    what = name.get(chosen.final.role, f"Trial {chosen.final.number}")
    return f"{what} of the run {chosen.run.provenance.run}."


def _file(exported: Exported, split: Split) -> Iterator[Block]:
    subject = exported.subject
    sizes = [f"{path.name} ({text.count(path.stat().st_size)}B)" for path in exported.files]
    lines = [f"{exported.format.title}: {text.listed(sizes)}"]
    lines += [
        f"input: {_described(tensor)}{_normalised(split)}" for tensor in tensors(subject.example)
    ]
    lines += exported.checks
    yield Bullets(lines)
    yield Code(exported.format.usage(subject, exported.files[0].stem))


def _described(tensor: Tensor) -> str:
    """``float32, B × 3 × 224 × 224``."""
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{kind}, {' × '.join(['B', *map(str, tensor.shape[1:])])}"


def _normalised(split: Split) -> str:
    """What is done to images before they go in; empty where the user's own data does it."""
    mean, std = getattr(split, "mean", ()), getattr(split, "std", ())
    if not mean:
        return ", as the data gives them"
    told = (", ".join(f"{value:.4g}" for value in values) for values in (mean, std))
    return ", (x / 255 − mean) / std with mean {} and std {}".format(*told)


def _worth(chosen: Chosen) -> Iterator[Block]:
    final, run = chosen.final, chosen.run
    decision, metric = _compared(run, final), run.metric
    reached = (
        f"Test {metric.name} {metric.mean_interval(final.test_accuracy)} {metric.unit}".rstrip()
    )
    if decision is None or final.role == "baseline":
        yield Paragraph(f"{reached}{_over_images(run, final)}.")
        return
    way = "worse" if decision.lost >= 0 else "better"
    yield Paragraph(
        f"{reached}, {metric.amount(decision.lost)} {way} than the unpruned network. "
        f"{decision.certainty} This network is the one of seed {final.seeds[0]}, with "
        f"{metric.with_unit(final.test_accuracy[0])}."
    )
    titles = ("unpruned", "this network", "% left")
    yield Table(head("", *titles), decision.facts)
    if not decision.batches:
        yield Paragraph("Its time was not measured: that of the best and of uniform widths was.")
    else:
        speed = decision.speeds[final.name, decision.batches[0]]
        where = run.provenance.device or speed.device
        yield Paragraph(f"Times are medians of {speed.passes} forward passes on {where}.")


def _over_images(run: Run, final: FinalRecord) -> str:
    """The interval over the choice of test images; empty where their number is not known."""
    images = run.provenance.test_images
    if not images or not run.metric.counts_images:
        return ""
    ends = wilson(round(final.test_accuracy[0] * images), images)
    low, high = map(text.number, ends)
    return f"; with {images:,} test images drawn anew, {low} to {high} % (95 % interval)"


def _compared(run: Run, final: FinalRecord) -> Decision | None:
    unpruned = next((f for f in run.finals if f.role == "baseline"), None)
    if unpruned is None:
        return None
    speeds = {(speed.name, speed.batch): speed for speed in run.timed}
    images = run.provenance.test_images
    return Decision(final=final, unpruned=unpruned, images=images, speeds=speeds, metric=run.metric)


def _policy(chosen: Chosen) -> Iterator[Block]:
    channels = chosen.run.provenance.channels
    columns = [Column("group", label=True), Column("channels", True), Column("kept", True)]
    rows = [(g, str(channels.get(g, "")), str(kept)) for g, kept in chosen.policy.items()]
    yield Table(columns, rows)


def _data(run: Run) -> Iterator[Block]:
    about = run.provenance
    name = about.settings.data if about.command and about.settings.task is None else about.task
    counts = {"training": about.train_images, "validation": about.val_images}
    counts["test"] = about.test_images
    told = [f"{count:,} {part}" for part, count in counts.items() if count is not None]
    yield Paragraph(f"{name}: {text.listed(told)} {run.metric.items}.")
    if about.warnings:
        yield Paragraph("The run warned:")
        yield Bullets(about.warnings)


def _training(chosen: Chosen) -> Iterator[Block]:
    run, final = chosen.run, chosen.final
    record = _record(run, final)
    if record is None:
        epochs = run.provenance.base_epochs
        yield Paragraph(
            "Its weights were given." if epochs is None else f"Trained for {epochs:g} epochs."
        )
        return
    spec, config = record.spec, run.provenance.config.get("training", {})
    at = f" at learning rate {spec.lr:g}" if spec.lr else ""
    lines = [
        f"{'fresh weights' if spec.scratch else 'inherited weights'}, {final.mode}: "
        f"{text.plural(spec.epochs, 'epoch')}{at}"
    ]
    lines += [how] if (how := run.provenance.recipe) else []
    if not spec.scratch:
        surgery = spec.surgery or config.get("surgery", "")
        lines.append(f"channels chosen by {final.criterion or run.provenance.reference}")
        lines += [f"kept weights adjusted by {surgery}"] if surgery else []
    if spec.distill:
        lines.append(f"distilled, {text.distillation(spec.distill, spec.temperature)}")
    seeds = ", ".join(map(str, final.seeds))
    lines.append(f"seed {final.seeds[0]}, of the seeds {seeds} that it was trained with")
    yield Bullets(lines)


def _record(run: Run, final: FinalRecord) -> TrainingRecord | None:
    """Of the training whose weights are exported."""
    return next(
        (
            record
            for record in run.training_records
            if record.purpose == FINALS
            and record.candidate == final.candidate
            and record.seed == final.seeds[0]
        ),
        None,
    )


def _provenance(chosen: Chosen) -> Iterator[Block]:
    about = chosen.run.provenance
    facts = {
        "run": about.run,
        "begun": about.started,
        "commit of pruning-policy-search": about.commit,
        "versions": ", ".join(f"{name} {number}" for name, number in about.versions.items()),
        "device": about.device,
        "random seed": "" if about.settings.seed is None else str(about.settings.seed),
    }
    yield Bullets([f"{name}: {value}" for name, value in facts.items() if value])
    if about.command:
        yield Code([about.command])


def _markdown(block: Block) -> str:
    match block:
        case Bullets(lines):
            return "\n".join(f"- {escape(line)}" for line in lines)
        case Code(lines):
            return "\n".join(["```", *lines, "```"])
        case Table():
            return pipes(block)
        case Paragraph(words):
            return escape(words)
