"""Why the networks that came out may be worth nothing, as said before the decision.

>>> list(doubts(run))
['at budget 0.5 trial 1 names test images no better than whoever always names the most ...']
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean

from results.data import RunData
from results.decision import Decision, decisions
from results.intervals import at_chance, half_width
from results.text import listed

ERRORS = 3
"""Standard errors of a difference of two accuracies that no choice of images explains."""


def doubts(run: RunData) -> Iterator[str]:
    """A clause for every network to ship that lost what it was trained for, or much of it.

    None where the unpruned network had learnt nothing either, which is said before the search.
    """
    for decision in decisions(run):
        name = f"at budget {decision.final.budget} {decision.name}"
        if lost := _at_chance(decision):
            yield f"{name} {lost}"
        elif worse := _worse_than_brief(decision, run):
            yield f"{name} {worse}"


def _at_chance(decision: Decision) -> str:
    """Seeds with which the final training left nothing."""
    counted = zip(decision.final.seeds, decision.final.by_class, strict=False)
    seeds = [
        seed for seed, counts in counted if counts and at_chance(counts.accuracy, counts.images)
    ]
    unpruned = decision.unpruned.by_class
    if not seeds or any(each and at_chance(each.accuracy, each.images) for each in unpruned):
        return ""
    of = decision.final.seeds
    which = (
        "" if len(seeds) == len(of) else f", with seed {listed([*map(str, seeds)])} of {len(of)}"
    )
    return (
        f"names test images no better than whoever always names the most frequent class{which}: "
        "its final training broke it or was too short, or so few channels cannot do more; give a "
        "lower --lr, more --final-epochs or a larger --budget"
    )


def _worse_than_brief(decision: Decision, run: RunData) -> str:
    """A final training after which it is worse than it was after the brief one of the search."""
    final, metric = decision.final, run.metric
    trial = run.seen(final.candidate)
    if trial is None or not final.val_accuracy:
        return ""
    brief, ended = trial.val_accuracy, fmean(final.val_accuracy)
    noise = half_width(final.val_accuracy)
    if metric.counts_images and (images := run.provenance.val_images):
        noise = ERRORS * math.sqrt((brief * (1 - brief) + ended * (1 - ended)) / images)
    if noise is None or not brief - ended > noise:
        return ""
    return (
        f"ended its final training at a validation {metric.name} of {metric.with_unit(ended)}, and "
        f"the brief training of the search at {metric.with_unit(brief)}: the final training made "
        "it worse; give a lower --lr, or other --final-epochs"
    )
