"""Can the proxies be trusted? What they correlate with, and how far noise lets them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from results import text, trust
from results.data import RunData
from results.metric import MetricInfo
from results.record import TrialRecord
from results.reporting.blocks import Block, Cells, Column, Figure, Paragraph, tabulate
from results.reporting.plots.trust import against_proxies
from results.trust import Trust

TRUST: Cells[Trust] = {
    Column("score", label=True): lambda t: _name(t),
    Column("Kendall τ"): lambda t: _estimate(t.kendall) if t.kendall else t.note,
    Column("Spearman ρ"): lambda t: _estimate(t.spearman),
    Column("policies", numeric=True): lambda t: str(t.n),
}
UNSELECTED: Cells[Trust] = {
    Column("score", label=True): lambda t: _name(t),
    Column("Kendall τ"): lambda t: _estimate(t.kendall_unselected),
    Column("Spearman ρ"): lambda t: _estimate(t.spearman_unselected),
}


def blocks(run: RunData) -> Iterator[Block]:
    """Something at any moment: also that nothing was trained yet."""
    rung = trust.trust_rung(run.records)
    if not rung:
        yield Paragraph(
            "No trial was trained yet, so there is nothing to compare the proxies with."
        )
        return
    scores = trust.proxy_trust(run.records, metric=run.metric)
    yield Paragraph(
        f"Rank correlation of each score with the {_direction(run.metric)} after the brief "
        f"training of rung {rung}, with 95 % bootstrap intervals over policies. 1 is the same "
        "order, 0 is no "
        "relation. A proxy is worth its cost only when it beats the controls, FLOPs and "
        "parameters, which need no data."
    )
    yield tabulate(scores, TRUST)
    yield Paragraph(_ceiling(trust.noise_ceiling(run.records, run.repeats), run.metric))
    yield from _unselected(scores)
    if any(t.n for t in scores):
        yield _picture(run, scores, rung)


def _direction(metric: MetricInfo) -> str:
    """The metric; where lower is better, as what scores are compared with: its negative."""
    return metric.name if metric.higher_is_better else f"negative {metric.name}"


def _policies(n: int) -> str:
    return "1 policy" if n == 1 else f"{n} policies"


def _name(score: Trust) -> str:
    return f"{score.name} (control)" if score.control else score.name


def _estimate(c: trust.Correlation | None) -> str:
    return text.between(c.value, c.low, c.high) if c else text.NONE


def _ceiling(ceiling: trust.Ceiling | None, metric: MetricInfo) -> str:
    if ceiling is None:
        return (
            "How far the noise of training alone holds these figures down is not known: no policy "
            "was trained again with another seed at this rung."
        )
    return (
        f"Noise ceiling: {_policies(ceiling.policies)} trained with several seeds at this rung "
        f"{'differs' if ceiling.policies == 1 else 'differ'} from seed to seed by "
        f"{metric.amount(ceiling.deviation)} (standard deviation). So a score that knew every "
        f"policy's true {metric.name} would be expected to reach about "
        f"τ = {_estimate(ceiling.kendall)} and ρ = {_estimate(ceiling.spearman)} here"
        f"{'' if ceiling.policies > 4 else ', from too few policies for an interval'}. This takes "
        f"true {metric.values} and noise to be normal (τ = 2/π · asin ρ, Greiner)."
    )


def _unselected(scores: Sequence[Trust]) -> Iterator[Block]:
    """The figures without the selection that the proxies made."""
    corrected = [t for t in scores if t.kendall_unselected]
    explored = max((t.explored for t in scores), default=0)
    if not corrected:
        yield Paragraph(
            "Proxies selected which policies were trained, which flatters or damps their figures; "
            f"{_policies(explored)} came to this rung by being explored, too few to correct for "
            f"that: it takes {trust.ENOUGH}, and one for every rung that stopped any.",
            "soft",
        )
    elif all(t.kendall_unselected == t.kendall for t in corrected):
        yield Paragraph(
            "Nothing was stopped below this rung, so these figures are of all that were tried.",
            "soft",
        )
    else:
        yield Paragraph(
            "Proxies selected which policies were trained, which flatters or damps their figures. "
            f"The {explored} policies that came to this rung by being explored are a fair sample "
            "of those that were stopped; when each stands for its share of those stopped at the "
            "first rung that was against it, it is:",
        )
        yield tabulate(corrected, UNSELECTED)


def _picture(run: RunData, scores: Sequence[Trust], rung: int) -> Figure:
    trained = trust.trained_to(run.records, rung)
    metric = run.metric
    reached = Column(f"{metric.head('validation')} at rung {rung}", numeric=True)
    cells: Cells[TrialRecord] = {
        Column("trial", numeric=True, label=True): lambda r: str(r.number),
        reached: lambda r: metric.number(r.accuracy[rung - 1]),
        Column("explored", minor=True): lambda r: "yes" if trust.explored_below(r, rung) else "",
        **{Column(t.name, numeric=True): partial(_score, name=t.name) for t in scores},
    }
    return Figure(
        "proxies",
        against_proxies(trained, scores, rung, metric),
        f"{metric.title} after rung {rung} against each score, a dot a policy; a score that can be "
        f"trusted {'rises' if metric.higher_is_better else 'falls'} from left to right. FLOPs "
        "and parameters are the controls.",
        tabulate(trained, cells),
    )


def _score(record: TrialRecord, name: str) -> str:
    value = trust.score_of(record, name)
    return text.NONE if math.isnan(value) else f"{value:.6g}".replace("-", text.MINUS)
