"""Caveats about the figures of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import SweepPoint
from results.text import plural
from search.comparison.config import CompareConfig
from search.evaluation.evaluator import Evaluator
from search.training.own_loop import told


def notes(
    points: Sequence[SweepPoint], options: CompareConfig, base_epochs: int, evaluator: Evaluator
) -> Iterator[str]:
    """Caveats, one sentence each, without the full stop."""
    rate, trained = evaluator.specs.usual_rate(scratch=True), evaluator.task.base_epochs
    loop = evaluator.task.train_loop
    yield (
        f"training from scratch is at the recipe's learning rate of {rate:g}, which was not "
        "swept; the rate of fine-tuning was"
        if loop is None
        else f"every arm was trained by {told(loop)}, which has its own learning rates: none was "
        "swept"
    )
    yield from _of_search(points, evaluator)
    ends = {min(options.rates), max(options.rates)} if len(options.rates) > 1 else ()
    for point in points:
        if point.chosen and point.lr in ends:
            yield (
                f"at budget {point.budget} the sweep chose {point.lr:g}, an end of its range: "
                "a rate beyond it may be better for fine-tuning (--rates)"
            )
    if trained is None:
        yield (
            "how long the unpruned network was trained is not known: its training is counted "
            f"as {plural(base_epochs, 'epoch')} (--base-epochs)"
        )
    elif trained != base_epochs:
        yield (
            f"the unpruned network was trained for {trained:g} epochs, but training from scratch "
            f"follows a schedule of {base_epochs} (--base-epochs): inherited weights cost "
            f"{'more' if trained > base_epochs else 'less'} than the arms compared with them"
        )


def _of_search(points: Sequence[SweepPoint], evaluator: Evaluator) -> Iterator[str]:
    """How the search's own final trainings differ from those of the comparison."""
    space, specs = evaluator.space, evaluator.specs
    for point in points:
        if point.chosen and point.lr != (own := specs.final(space.uniform(point.budget)).lr):
            yield (
                f"the search's own final trainings at budget {point.budget} were at a learning "
                f"rate of {own:g}: they and the verdict on them are not those of this comparison"
            )
    training = evaluator.config.training
    if training.surgery != "plain":
        yield (
            f"inherited weights, those of random channels too, went through the surgery of the "
            f"search, {training.surgery}"
        )
    if training.distill:
        yield (
            "the search's own trainings were distilled from the unpruned network; of this "
            "comparison only the arm distilled is: they and the verdict on them are not those of "
            "its other arms"
        )
    if training.schedule != "one-shot":
        yield (
            "networks of this comparison are pruned at one stroke; the search's finals were "
            "pruned layer by layer and trained after each: they and the verdict on them are "
            "not those of this comparison"
        )
