"""The text and the figures of ``layer_damage.py``, from its two tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from results.reporting.blocks import Bullets, Column, Document, Paragraph, Section, Table
from results.reporting.blocks import Figure as Picture
from results.reporting.markdown import markdown
from results.reporting.svg import BLACK, BLUE, GREEN, GREY, PURPLE, VERMILION, draw
from results.text import between, plural

ONE, OWN, GIVEN = "one training", "its own schedule", "given weights"
"""How a network was trained."""
END, OTHER = "the end", "another seed's end"
"""What it is compared with, beside the given weights: the network after all epochs."""
LOOKS = {
    (ONE, END): (BLUE, "o", "-"),
    (OWN, END): (VERMILION, "s", "--"),
    (ONE, GIVEN): (GREEN, "^", "-"),
    (OWN, GIVEN): (PURPLE, "v", "--"),
}


def report(
    damages: pd.DataFrame, correlations: pd.DataFrame, epochs: int, settings: str
) -> tuple[str, Mapping[str, str]]:
    """Markdown, and path → SVG of its figures."""
    blocks = [
        Paragraph(
            f"Kendall's tau and Spearman's rho between the damages of the groups and those after "
            f"all {epochs} epochs of the same seed, mean over seeds; in brackets 95 % "
            f"intervals from the bootstrap over groups.{_given(damages)} The last row compares "
            "networks of two seeds after all epochs."
        ),
        Bullets(list(said(correlations, epochs))),
        Picture("correlation", _curve(correlations), "Rank correlation against epochs.",
                _table(correlations)),
        Picture("damages", _groups(damages), "Damage of each group, mean over seeds.",
                _damage_table(damages)),
    ]  # fmt: skip
    title = "Layer damage after short and full training"
    return markdown(
        Document(title, settings, [Section("layer-damage", "Measured", blocks)]), "figures"
    )


def _given(damages: pd.DataFrame) -> str:
    """About the given weights, if there were any."""
    accuracy = damages[damages.schedule == GIVEN].accuracy.mean()
    if np.isnan(accuracy):
        return ""
    return (
        " All are compared with given weights too, the network of another training, which has "
        f"{accuracy:.1%} on these images."
    )


def said(correlations: pd.DataFrame, epochs: int) -> Iterator[str]:
    """What the figures say, in words."""
    for row in correlations.to_dict("records"):
        tau = between(row["kendall"], row["kendall_low"], row["kendall_high"])
        rho = between(row["spearman"], row["spearman_low"], row["spearman_high"])
        figures = f"tau {tau}, rho {rho}."
        if row["with"] == OTHER:
            yield f"Between two seeds, both after {plural(epochs, 'epoch')}: {figures}"
        else:
            how = "of one training" if row["schedule"] == ONE else "annealed by themselves"
            yield f"After {plural(row['epochs'], 'epoch')} {how}, with {row['with']}: {figures}"


def _table(correlations: pd.DataFrame) -> Table:
    rows = [
        [
            row["schedule"],
            row["with"],
            str(row["epochs"]),
            f"{100 * row['accuracy']:.2f}",
            between(row["kendall"], row["kendall_low"], row["kendall_high"]),
            between(row["spearman"], row["spearman_low"], row["spearman_high"]),
        ]
        for row in correlations.to_dict("records")
    ]
    titles = ("epochs", "accuracy, %", "Kendall's tau", "Spearman's rho")
    labels = [Column("trained", label=True), Column("compared with", label=True)]
    return Table([*labels, *(Column(title, numeric=True) for title in titles)], rows)


def _means(damages: pd.DataFrame) -> pd.DataFrame:
    """Group × network: points of accuracy, groups in the order of the network."""
    order = damages.group.unique()
    keys = ["schedule", "epochs"]
    means = 100 * damages.pivot_table(index="group", columns=keys, values="damage", sort=False)
    return means.loc[order]


def _damage_table(damages: pd.DataFrame) -> Table:
    means = _means(damages)
    titles = [
        f"{plural(epochs, 'epoch')}, {schedule}" if epochs else schedule
        for schedule, epochs in means.columns
    ]
    columns = [Column("group", label=True), *(Column(title, numeric=True) for title in titles)]
    return Table(columns, [[name, *(f"{x:.2f}" for x in row)] for name, *row in means.itertuples()])


def _curve(correlations: pd.DataFrame) -> str:
    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("kendall", "spearman"), strict=True):
            for (schedule, reference), (colour, marker, line) in LOOKS.items():
                rows = _of(correlations, schedule, reference)
                if rows.empty:
                    continue
                reach = [rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]]
                axes.errorbar(
                    rows.epochs, rows[name], np.maximum(reach, 0), color=colour, marker=marker,
                    linestyle=line, capsize=2, markersize=5, label=f"{schedule}: {reference}",
                )  # fmt: skip
            for value in correlations[correlations["with"] == OTHER][name]:
                axes.axhline(value, color=GREY, linestyle=":", label="two seeds")
            axes.set_xscale("log", base=2)
            ticks = sorted(set(correlations.epochs))
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.set_title({"kendall": "Kendall's tau", "spearman": "Spearman's rho"}[name])
            axes.axhline(0, color=BLACK, linewidth=0.6)
        figure.supxlabel("epochs", fontsize=9)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8)

    return draw("layer-damage-correlation", 3.2, paint)


def _of(correlations: pd.DataFrame, schedule: str, reference: str) -> pd.DataFrame:
    chosen = (correlations.schedule == schedule) & (correlations["with"] == reference)
    return correlations[chosen].sort_values("epochs")


def _groups(damages: pd.DataFrame) -> str:
    means = _means(damages)
    shades = np.linspace(0.75, 0.0, len(means[ONE].columns))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for shade, epochs, marker in zip(shades, means[ONE].columns, itertools.cycle("o^vDs*")):
            axes.plot(
                range(len(means)), means[ONE][epochs], color=str(shade), marker=marker,
                markersize=4, label=f"{epochs}",
            )  # fmt: skip
        axes.set_xticks(range(len(means)), means.index, rotation=60, ha="right", fontsize=8)
        axes.set_ylabel("layer damage, points of accuracy")
        figure.legend(loc="outside upper center", ncols=6, title="epochs of one training")

    return draw("layer-damage-groups", 3.4, paint)
