"""Can the proxies be trusted? What they correlate with, and how far noise lets them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.report import plots
from results.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from results.trust import (
    ENOUGH,
    Ceiling,
    Correlation,
    Trust,
    noise_ceiling,
    proxy_trust,
    score_of,
    trained_to,
    trust_rung,
)


def section(run: RunData) -> Section:
    """Never empty: it says that nothing was trained yet."""
    return Section("trust", "Can the proxies be trusted?", list(_blocks(run)))


def _blocks(run: RunData) -> Iterator[Block]:
    rung = trust_rung(run.records)
    if not rung:
        yield Paragraph(
            "No trial was trained yet, so there is nothing to compare the proxies with."
        )
        return
    trust = proxy_trust(run.records)
    yield Paragraph(
        "Rank correlation of each score with the accuracy after the brief training of "
        f"rung {rung}, with 95 % bootstrap intervals over policies. 1 is the same order, 0 is no "
        "relation. A proxy is worth its cost only when it beats the controls, FLOPs and "
        "parameters, which need no data."
    )
    yield _table(trust)
    yield Paragraph(_ceiling(noise_ceiling(run.records, run.repeats)))
    yield from _unselected(trust)
    if any(one.n for one in trust):
        yield _picture(run, trust, rung)


def _table(trust: Sequence[Trust]) -> Table:
    columns = (
        Column("score", label=True),
        Column("Kendall τ"),
        Column("Spearman ρ"),
        Column("policies", numeric=True),
    )
    rows = [
        [
            _name(one),
            _estimate(one.kendall) if one.kendall else one.note,
            _estimate(one.spearman),
            str(one.n),
        ]
        for one in trust
    ]
    return Table(columns, rows)


def _policies(n: int) -> str:
    return "1 policy" if n == 1 else f"{n} policies"


def _name(one: Trust) -> str:
    return f"{one.name} (control)" if one.control else one.name


def _estimate(c: Correlation | None) -> str:
    return text.between(c.value, c.low, c.high) if c else text.NONE


def _ceiling(ceiling: Ceiling | None) -> str:
    if ceiling is None:
        return (
            "How far the noise of training alone holds these figures down is not known: no policy "
            "was trained again with another seed at this rung."
        )
    return (
        f"Noise ceiling: {_policies(ceiling.policies)} trained with several seeds at this rung "
        f"{'differs' if ceiling.policies == 1 else 'differ'} from seed to seed by "
        f"{100 * ceiling.deviation:.2f} points (standard deviation). So a score that knew every "
        "policy's true accuracy would be expected to reach about "
        f"τ = {_estimate(ceiling.kendall)} and ρ = {_estimate(ceiling.spearman)} here"
        f"{'' if ceiling.policies > 4 else ', from too few policies for an interval'}. This takes "
        "true accuracies and noise to be normal (τ = 2/π · asin ρ, Greiner)."
    )


def _unselected(trust: Sequence[Trust]) -> Iterator[Block]:
    """The figures without the choice that the proxies made."""
    figured = [one for one in trust if one.kendall_unselected]
    by_coin = max((one.by_coin for one in trust), default=0)
    if not figured:
        yield Paragraph(
            "Proxies chose who was trained, which flatters or damps their figures; "
            f"{_policies(by_coin)} came to this rung by coin against a rule, too few to "
            f"correct for that: it takes {ENOUGH}, and one for every rung that stopped any.",
            "soft",
        )
    elif all(one.kendall_unselected == one.kendall for one in figured):
        yield Paragraph(
            "Nobody was stopped below this rung, so these figures are of all that were tried.",
            "soft",
        )
    else:
        yield Paragraph(
            "Proxies chose who was trained, which flatters or damps their figures. The "
            f"{by_coin} policies that came to this rung by coin against a rule are a fair sample "
            "of those that were stopped; when each stands for its share of those stopped at the "
            "first rung that was against it, it is:",
        )
        yield Table(
            (Column("score", label=True), Column("Kendall τ"), Column("Spearman ρ")),
            [
                [_name(one), _estimate(one.kendall_unselected), _estimate(one.spearman_unselected)]
                for one in figured
            ],
        )


def _picture(run: RunData, trust: Sequence[Trust], rung: int) -> Figure:
    trained = trained_to(run.records, rung)
    columns = [
        Column("trial", numeric=True, label=True),
        Column(f"validation % at rung {rung}", numeric=True),
        Column("by coin", minor=True),
        *(Column(one.name, numeric=True) for one in trust),
    ]
    rows = [
        [
            str(r.number),
            text.number(r.accuracy[rung - 1]),
            "yes" if min(r.explored, default=rung) < rung else "",
            *(_score(score_of(r, one.name)) for one in trust),
        ]
        for r in trained
    ]
    return Figure(
        "proxies",
        plots.against_proxies(trained, trust, rung),
        f"Accuracy after rung {rung} against each score, a dot a policy; a score that can be "
        "trusted rises from left to right. FLOPs and parameters are the controls.",
        Table(columns, rows),
    )


def _score(value: float) -> str:
    return text.NONE if math.isnan(value) else f"{value:.6g}".replace("-", text.MINUS)
