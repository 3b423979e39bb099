"""What to decide: for each budget the network to ship, what it loses, and what it takes.

>>> [decision.sentence for decision in decisions(run)]
['At budget 0.5 ship trial 12: 95.45 % of the test images right, 1.27 ± 0.32 points below ...']
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from results import text
from results.compare import by_seed
from results.data import RunData
from results.differences import paired
from results.intervals import half_width, wilson
from results.metric import ACCURACY, MetricInfo
from results.record import FinalRecord
from results.speed import NetworkSpeed, items

UNPRUNED, BEST = "unpruned", "best"
"""Folders of a run's ``models/``; with several budgets there is ``best-<budget>`` for each."""

OWN_IMPORT = "import prune_ops"
OWN = "build()  # your own network, unpruned"
"""In the place of what builds a network that the user gave as an object."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The network to ship at one budget.

    Attributes:
        final: it, as it was trained and tested.
        unpruned: the network that it was cut from.
        images: how many the test split has; None in runs of older versions.
        speeds: of both, by (name, batch); empty where they were not measured.
        rejected: the searched network, where uniform widths were shown to be better.
        metric: what they were judged by.
    """

    final: FinalRecord
    unpruned: FinalRecord
    images: int | None
    speeds: dict[tuple[str, int], NetworkSpeed]
    rejected: FinalRecord | None = None
    metric: MetricInfo = ACCURACY

    @property
    def name(self) -> str:
        """As the other tables call it."""
        return f"uniform widths at {self.final.budget}" if self.rejected else self.final.name

    @property
    def source(self) -> str:
        """The folder in ``models/`` of the same network under its own name."""
        is_uniform = self.final.role == "uniform"
        return f"uniform-{self.final.budget}" if is_uniform else str(self.final.number)

    @property
    def accuracy(self) -> float:
        """Mean test score over its seeds."""
        return fmean(self.final.test_accuracy)

    @property
    def lost(self) -> float:
        """By how much the score of the unpruned network is higher."""
        return fmean(self.unpruned.test_accuracy) - self.accuracy

    @property
    def over_seeds(self) -> float | None:
        """Half width of the interval of ``lost`` over seeds; None where none can be given."""
        return half_width(self.final.test_accuracy)

    @property
    def over_images(self) -> tuple[float, float] | None:
        """The interval of ``lost`` over the choice of test images, both accuracies independent;
        None for another metric.

        Newcombe's hybrid of two Wilson intervals (Statistics in Medicine 17, 1998, method 10).
        Both networks see the same images, so it is wider than it need be.
        """
        if not (self.images and self.metric.counts_images):
            return None
        ends = []
        for accuracy in (fmean(self.unpruned.test_accuracy), self.accuracy):
            low, high = wilson(round(accuracy * self.images), self.images)
            ends.append((accuracy - low, high - accuracy))
        (down, up), (own_down, own_up) = ends
        return self.lost - math.hypot(down, own_up), self.lost + math.hypot(up, own_down)

    @property
    def sentence(self) -> str:
        """What to ship and what it costs."""
        lost = self.metric.amount(self.lost, self.over_seeds)
        if self.metric.counts_images:
            lost += f" {'below' if self.lost >= 0 else 'above'} the unpruned network"
        else:
            lost += f" {'worse' if self.lost >= 0 else 'better'} than the unpruned network's"
        reached = self.metric.result("test", self.accuracy)
        return f"At budget {self.final.budget} ship {self.name}: {reached}, {lost}."

    @property
    def certainty(self) -> str:
        """What the intervals cover, and what else to know of the comparison; empty if nothing."""
        parts = []
        if self.over_seeds is not None:
            seeds = text.plural(len(self.final.test_accuracy), "seed")
            parts.append(f"{text.PLUS_MINUS} is a 95 % interval over {seeds} of training")
        if (ends := self.over_images) is not None:
            low, high = map(text.signed, ends)
            parts.append(
                f"with {self.images:,} test images drawn anew the loss may be {low} to {high} "
                "points"
            )
        elif self.over_seeds is not None and not self.metric.counts_images:
            parts.append("how much other test items would change it is not known")
        if self.lost < 0 and not self.final.mode.startswith("scratch"):
            parts.append(
                "the unpruned network had no such training after its own, so beating it is no "
                "wonder"
            )
        if slower := self.slower:
            sizes = text.listed([self._items(batch) for batch in slower])
            parts.append(f"it saves FLOPs but, as measured here, no time for {sizes}")
        return text.sentence("; ".join(parts)) if parts else ""

    @property
    def facts(self) -> list[tuple[str, str, str, str]]:
        """A label, both networks' figures, and the share that is left, for every measure."""
        before, after = fmean(self.unpruned.test_accuracy), self.accuracy
        one, other = map(self.metric.number, (before, after))
        tested = (self.metric.axis("test"), one, other, "")
        return [tested, *self._sizes(), *map(self._time, self.batches)]

    def _sizes(self) -> Iterator[tuple[str, str, str, str]]:
        one, other = self.unpruned, self.final
        sizes = [("FLOPs (multiply-adds)", one.flops, other.flops, "")]
        sizes.append(("parameters", one.params, other.params, ""))
        if self.batches:
            before, after = (self.speeds[f.name, self.batches[0]].size for f in (one, other))
            sizes.append(("size", before, after, "B"))
        for label, before, after, unit in sizes:
            here, there = (f"{text.count(size)}{unit}" for size in (before, after))
            yield label, here, there, text.number(after / before, 1)

    def _time(self, batch: int) -> tuple[str, str, str, str]:
        before, after = (self.speeds[f.name, batch] for f in (self.unpruned, self.final))
        one, other = (f"{1000 * speed.seconds:.3g}" for speed in (before, after))
        left = text.number(after.seconds / before.seconds, 1)
        return f"ms, {self._items(batch)}", one, other, left

    def _items(self, batch: int) -> str:
        return items(batch, self.metric.items)

    @property
    def batches(self) -> list[int]:
        """The batch sizes with which both networks were measured."""
        return sorted(
            batch
            for name, batch in self.speeds
            if name == self.final.name and (self.unpruned.name, batch) in self.speeds
        )

    @property
    def slower(self) -> list[int]:
        """The batch sizes with which FLOPs fell and time did not."""
        one, other = self.final.name, self.unpruned.name
        return [b for b in self.batches if not self.speeds[one, b].saves(self.speeds[other, b])]


def decisions(run: RunData) -> Iterator[Decision]:
    """One for each budget at which a searched network was trained to the end."""
    unpruned = next((final for final in run.finals if final.role == "baseline"), None)
    if unpruned is None or not unpruned.test_accuracy:
        return
    speeds = {(speed.name, speed.batch): speed for speed in run.timed}
    for budget in run.budget_names:
        searched = run.best_final(budget)
        if searched is None or not searched.test_accuracy:
            continue
        uniform = _better_uniform(searched, run)
        yield Decision(
            final=uniform or searched,
            unpruned=unpruned,
            images=run.provenance.test_images,
            speeds=speeds,
            rejected=searched if uniform else None,
            metric=run.metric,
        )


def _better_uniform(searched: FinalRecord, run: RunData) -> FinalRecord | None:
    """Uniform widths at the same budget, where the searched ones were shown to be worse."""
    own = (f for f in run.finals if f.role == "uniform" and f.budget == searched.budget)
    uniform = next(own, None)
    if uniform is None or uniform.candidate == searched.candidate:
        return None
    difference = paired(by_seed(searched), by_seed(uniform), metric=run.metric)
    return uniform if difference.outcome == "worse" else None


def model_name(run: RunData, decision: Decision) -> str:
    """The folder of its network in the run's ``models/``."""
    return BEST if len(run.budget_names) == 1 else f"{BEST}-{decision.final.budget}"


def loading(run: RunData, decision: Decision) -> list[str]:
    """The lines of Python that load its network, ready to use; none where it is not in the run's
    folder, as another process trained it."""
    where = run.folder / "models" / model_name(run, decision)
    if not where.is_dir():
        return []
    return [
        f"import prune_ops; {run.provenance.fresh_import}" if run.provenance.fresh else OWN_IMPORT,
        f"fresh = {run.provenance.fresh or OWN}",
        f"model = prune_ops.load(fresh, {str(where)!r}).eval()",
    ]
