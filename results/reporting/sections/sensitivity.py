"""Which layer breaks the network when it is cut? The measured sensitivity of every group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results import text
from results.data import RunData
from results.metric import MetricInfo
from results.reporting.blocks import Block, Bullets, Figure, Paragraph, Table, head
from results.reporting.networks import what_name
from results.reporting.plots.sensitivity import damages
from results.sensitivity import SensitivityRecord

AT_ONCE = 24
"""Groups in one picture: as many panels as fit on a page."""
NAMED = 3
"""Groups that are named for a policy."""
WORST = "worst channels"
REPAIRED = "repaired_damage"
LABELS = {
    REPAIRED: "worst channels, repaired",
    "iso_damage": WORST,
    "accuracy_drop": WORST,
    "layer_damage": "random channels",
}
"""Which channels were cut, the worst by the criterion that serves the whole run."""
UNITS = ("divergence", "loss", "accuracy")
"""Of damages, in the order of their pictures; ``accuracy`` stands for the metric of the run."""


def blocks(run: RunData) -> Iterator[Block]:
    """Nothing where none was measured."""
    if not run.measured:
        return
    yield Paragraph(" ".join(_how(run.measured, run.metric)))
    by_name = _by_sensitivity(run.measured).values()
    yield Bullets([*(_extremes(groups, run.metric) for groups in by_name), *_blamed(run)])
    yield _summary(run.measured, run.metric)
    yield Paragraph(
        f"The coloured row is the group that is hurt most by {run.measured[0].sensitivity}. "
        "Figures are means over the widths that were measured.",
        "soft",
    )
    for unit in UNITS:
        if in_unit := [r for r in run.measured if r.unit == unit]:
            yield from _pictures(in_unit, run.provenance.reference, run.metric)


def _unit(unit: str, metric: MetricInfo) -> str:
    """Of damages, in words: ``rise of the loss``, ``accuracy lost, points``."""
    match unit:
        case "divergence":
            return "divergence of the outputs"
        case "accuracy" if metric.higher_is_better:
            return metric.step_head(f"{metric.name} lost")
        case "accuracy":
            return metric.step_head(f"rise of {metric.name}")
        case _:
            return f"rise of the {unit}"


def _how(measured: Sequence[SensitivityRecord], metric: MetricInfo) -> Iterator[str]:
    names = {r.sensitivity for r in measured}
    if names - {REPAIRED}:
        yield (
            "Each group was cut alone, the rest of the network whole, and judged on held-out "
            f"training {metric.items} without any training."
        )
    if REPAIRED in names:
        yield (
            f"By {REPAIRED} no network was cut: it is how far the outputs move, to second order, "
            "when one group is cut alone and the layers that read it make up for it as well as "
            "weights can; for a classifier the divergence of its class probabilities at "
            "temperature 4, in nats."
        )
    yield "What two cuts do to each other is not in these figures."


def _by_sensitivity(
    measured: Sequence[SensitivityRecord],
) -> dict[str, dict[str, SensitivityRecord]]:
    """Sensitivity → group → what was measured; groups in the order of the network."""
    nested: dict[str, dict[str, SensitivityRecord]] = {}
    for r in measured:
        nested.setdefault(r.sensitivity, {})[r.group] = r
    return nested


def _extremes(groups: dict[str, SensitivityRecord], metric: MetricInfo) -> str:
    ordered = sorted(groups.values(), key=lambda r: r.mean)
    least, most = ordered[0], ordered[-1]
    return (
        f"By {most.sensitivity}, {most.group} is hurt most "
        f"({_shown(most.mean, most.unit, metric)} on average over its widths), "
        f"{least.group} least ({_shown(least.mean, least.unit, metric)})."
    )


def _shown(damage: float, unit: str, metric: MetricInfo) -> str:
    if unit != "accuracy":
        value = f"{damage:.2g} of {unit}"
    elif metric.percent:
        value = f"{100 * damage:.1f} points"
    else:
        value = f"{damage:.2g} {metric.step_of()}"
    return value.replace("-", text.MINUS)


def _blamed(run: RunData) -> Iterator[str]:
    """For the policy of each budget, the groups whose cuts cost most when they are made alone."""
    groups = next(iter(_by_sensitivity(run.measured).values()))
    for budget in tuple(run.budget_names) or (None,):
        trial = max(run.compared_at(budget), key=lambda r: r.val_accuracy, default=None)
        best = run.best_final(budget) or trial
        if best is None or best.policy is None:
            continue
        policy = {name: width for name, width in best.policy.items() if name in groups}
        costs = {name: groups[name].at(width) for name, width in policy.items()}
        worst = sorted(costs, key=lambda name: -costs[name])[:NAMED]
        if cut := [_cut(groups[n], policy[n], run.metric) for n in worst if costs[n] > 0]:
            cuts = f"the cuts of {what_name(best)}" + (f" at {budget}" if budget else "")
            by = run.measured[0].sensitivity
            yield f"By {by}, of {cuts} these cost most alone: {', '.join(cut)}."


def _cut(group: SensitivityRecord, width: int, metric: MetricInfo) -> str:
    """What it costs, and how that is known at a width that was not measured."""
    inferred = "" if width in group.widths else ", interpolated"
    if width < (least := min(group.widths)):
        inferred = f", as at {least}, the least that was measured"
    cost = _shown(group.at(width), group.unit, metric)
    return f"{group.group} from {group.channels} to {width} ({cost}{inferred})"


def _summary(measured: Sequence[SensitivityRecord], metric: MetricInfo) -> Table:
    """One row a group; the one that is hurt most, by the first sensitivity, is set off."""
    every = _by_sensitivity(measured)
    first = next(iter(every.values()))
    units = {
        name: _unit(next(iter(groups.values())).unit, metric) for name, groups in every.items()
    }
    rows = [
        [name, str(r.channels), *(_cell(groups.get(name), metric) for groups in every.values())]
        for name, r in first.items()
    ]
    most = max(range(len(rows)), key=lambda row: list(first.values())[row].mean)
    titles = head("group", "channels", *(f"{name}, {unit}" for name, unit in units.items()))
    return Table(titles, rows, frozenset({most}))


def _cell(r: SensitivityRecord | None, metric: MetricInfo) -> str:
    return text.NONE if r is None else _number(r.mean, r.unit, metric)


def _number(damage: float, unit: str, metric: MetricInfo) -> str:
    """Points with two decimals, losses with three, others with three significant digits."""
    if unit != "accuracy":
        value = f"{damage:.3f}"
    else:
        value = f"{100 * damage:.2f}" if metric.percent else text.figure(damage)
    return value.replace("-", text.MINUS)


def _pictures(
    measured: Sequence[SensitivityRecord], reference: str | None, metric: MetricInfo
) -> Iterator[Figure]:
    """All of one unit."""
    names = list(dict.fromkeys(r.group for r in measured))
    labels = {name: _label(name, reference) for name in _by_sensitivity(measured)}
    unit = measured[0].unit
    for place, groups in enumerate(text.pages(names, AT_ONCE)):
        shown = [r for r in measured if r.group in groups]
        where = f"{unit}-{place}"
        ylabel = _unit(unit, metric)
        picture = damages(groups, shown, labels, ylabel, where, metric)
        caption, table = _caption(ylabel, labels), _table(shown, labels, metric)
        yield Figure(f"sensitivity-{where}", picture, caption, table)


def _label(sensitivity: str, reference: str | None) -> str:
    label = LABELS.get(sensitivity, sensitivity)
    return f"{label} by {reference}" if reference and label.startswith(WORST) else label


def _caption(unit: str, labels: dict[str, str]) -> str:
    what = " and ".join(f"{label} ({name})" for name, label in labels.items())
    return (
        f"{text.sentence(unit)[:-1]} against the share of each group's channels that is "
        f"cut, one panel a group: {what}. A flat line is a layer that bears being cut."
    )


def _table(
    measured: Sequence[SensitivityRecord], labels: dict[str, str], metric: MetricInfo
) -> Table:
    """One row for each group and width that was measured."""
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for r in measured:
        for width, damage in zip(r.widths, r.damages, strict=True):
            cells.setdefault((r.group, width), {})[r.sensitivity] = _number(damage, r.unit, metric)
    order = list(dict.fromkeys(r.group for r in measured))
    rows = [
        [group, str(width), *(cells[group, width].get(name, text.NONE) for name in labels)]
        for group, width in sorted(cells, key=lambda place: (order.index(place[0]), place[1]))
    ]
    titles = (f"{name}, {_unit(measured[0].unit, metric)}" for name in labels)
    return Table(head("group", "channels kept", *titles), rows)
