"""What the words mean that the report uses, for those who read only it."""

from __future__ import annotations

from collections.abc import Iterator

from results.arms import ARMS
from results.data import RunData
from results.metric import MetricInfo
from results.reporting.blocks import Block, Column, Table

WORDS = {
    "group": "channels that must be cut together, as a residual connection adds them up, say",
    "policy": "one width for each group: how many of its channels stay",
    "uniform widths": "the policy that keeps the same share of every group, and then what single "
    "steps still fit the budget; what every other one has to beat",
    "budget": "the most FLOPs, counted as multiply-adds, that a policy may keep",
    "criterion": "scores the channels of a group: those of the highest scores stay",
    "surgery": "what the weights that stay become; reconstruct fits each layer that reads cut "
    "channels to what the unpruned network computes, by least squares",
    "sensitivity": "what cutting one group alone does to the network; it sets widths",
    "damage": "what cutting costs, estimated; for a classifier, where no other unit is named, the "
    "divergence of the class probabilities of the unpruned and the cut network at temperature 4, "
    "in nats",
    "repaired": "cut with a surgery that makes up for the channels that are gone; plain is without",
    "trial": "a policy that the search has tried",
    "start": "a policy that is tried first: uniform widths, channels ranked by a criterion, "
    "or widths set by a sensitivity",
    "sampler": "proposes the policies after the starts",
    "origin": "where a trial's policy came from: a start, by its name, or the sampler",
    "proxy": "scores a policy without training it",
    "rung": "a step of judging: proxies at rung 0, a brief training at rung 1, longer ones above; "
    "only trials that do well go on to the next",
    "eta": "about one in eta trials of equal size goes on to the next rung",
    "explored": "went on by a draw, though it did not do well, so that the proxies can be judged",
    "Pareto front": "the trials than which no other is both smaller and {better}",
    "hypervolume": "the area that the front dominates where both the share of FLOPs and the "
    "{metric} go from 0 to 1; it is larger for a better front",
    "final training": "the long one, with several seeds, after which the network is tested; those "
    "that have it are the finals, the candidates of the verdict",
    "control": "a score that knows nothing of {metric}, such as the number of parameters",
    "noise ceiling": "the correlation that a perfect score would reach: training the same policy "
    "twice gives two {values}",
}


def words(metric: MetricInfo) -> dict[str, str]:
    """Each with its meaning where networks are judged by this metric."""
    better = "more accurate" if metric.counts_images else "better"
    meant = {
        word: meaning.format(metric=metric.name, better=better, values=metric.values)
        for word, meaning in WORDS.items()
    }
    if not metric.is_share:
        del meant["hypervolume"]
    return meant


def meanings(run: RunData) -> dict[str, str]:
    """Each with its meaning, and the names of methods and arms that the run used."""
    used = dict.fromkeys(r.arm for r in run.compared.arms)
    arms = {arm: ARMS[arm].meaning for arm in used if arm in ARMS}  # others are newer
    return words(run.metric) | run.provenance.names | arms


def blocks(run: RunData) -> Iterator[Block]:
    """A word a row, once there is anything to read."""
    if run.records:
        columns = [Column("word", label=True), Column("what it means")]
        yield Table(columns, [[word, meaning] for word, meaning in meanings(run).items()])
