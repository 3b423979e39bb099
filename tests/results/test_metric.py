"""Metrics other than accuracy: closed forms of how they are written, and whole reports of them."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import SIX, make_arm
from rich.console import Console
from runs import make_run

import results
from results import Comparison, FinalRecord, Provenance, Run, SensitivityRecord
from results.contrasts import contrasts
from results.decision import decisions
from results.differences import paired
from results.gains import GainStep
from results.metric import ACCURACY, MetricInfo
from results.reporting import sections
from results.reporting.several import report_several
from spaces import Policy, UserError

ERROR = MetricInfo("mean absolute error", "kg", higher_is_better=False)
"""Its scores are minus kilograms."""
BARE = MetricInfo("perplexity", higher_is_better=False)
IOU = MetricInfo("mean IoU", "%")
MISSED = MetricInfo("miss rate", "%", higher_is_better=False)
GAIN = MetricInfo("reward", "points won")


@pytest.mark.parametrize(
    ("metric", "head", "axis", "step", "column"),
    [
        (ACCURACY, "test %", "test accuracy, %", "points of test accuracy", "test_accuracy"),
        (IOU, "test mean IoU, %", "test mean IoU, %", "points of test mean IoU", "test_mean_IoU"),
        (
            *(ERROR, "test mean absolute error, kg", "test mean absolute error, kg"),
            *("kg of test mean absolute error", "test_mean_absolute_error"),
        ),
        (BARE, "test perplexity", "test perplexity", "of test perplexity", "test_perplexity"),
    ],
)
def test_heads_axes_and_columns(
    metric: MetricInfo, head: str, axis: str, step: str, column: str
) -> None:
    assert metric.head("test") == head
    assert metric.axis("test") == axis
    assert metric.step_of("test") == step
    assert metric.column("test") == column


@pytest.mark.parametrize(
    ("metric", "score", "said"),
    [
        (ACCURACY, 0.9545, "95.45 % of the test images right"),
        (IOU, 0.712, "mean IoU 71.20 % on the test split"),
        (MISSED, -0.0312, "miss rate 3.12 % on the test split"),
        (ERROR, -0.41324, "mean absolute error 0.4132 kg on the test split"),
        (ERROR, -1234.5, "mean absolute error 1,234 kg on the test split"),
        (ERROR, -0.99996, "mean absolute error 1.000 kg on the test split"),
        (BARE, -3.2e-8, "perplexity 3.200e-08 on the test split"),
        (GAIN, -2.5, "reward −2.500 points won on the test split"),
        (GAIN, 0.0, "reward 0.000 points won on the test split"),
    ],
)
def test_a_score_is_the_metric_in_its_own_direction(
    metric: MetricInfo, score: float, said: str
) -> None:
    assert metric.result("test", score) == said


def test_a_value_has_as_many_decimals_as_its_interval() -> None:
    """Two significant digits behind ±; without percent."""
    # Of two values the interval's half width is t(0.975, 1) / 2 = 6.3531 times their distance.
    assert ERROR.mean_interval([-0.40, -0.42]) == "0.41 ± 0.13"
    assert ERROR.mean_interval([-0.4]) == ERROR.mean_interval([-0.4, -0.4]) == "0.4000"
    assert ERROR.mean_interval([]) == ERROR.number(None) == ERROR.number(math.nan) == "–"
    assert BARE.mean_interval([-1200.0, -1400.0]) == "1,300 ± 1,271"
    assert MISSED.mean_interval([-0.03, -0.05]) == "4.00 ± 12.71"
    assert ACCURACY.mean_interval([0.90, 0.92]) == "91.00 ± 12.71"
    assert ERROR.step(0.0431, 0.0139) == "−0.043 ± 0.014"
    assert ERROR.step(-0.0431, 0.0139) == "+0.043 ± 0.014"
    assert ERROR.step(0.01234) == "−0.0123"
    assert IOU.step(0.0431, 0.0139) == ACCURACY.step(0.0431, 0.0139) == "+4.31 ± 1.39"
    assert ERROR.amount(-0.0431, 0.0139) == "0.043 ± 0.014 kg"
    assert ACCURACY.amount(-0.0431) == "4.31 points"


@pytest.mark.parametrize(
    ("figure", "reach", "said"),
    [
        (0.1232171, 2.8e-6, "+0.123217 ± 0.000003"),
        (0.125909, 3.6e-5, "+0.125909 ± 0.000036"),
        (0.00012321719, 2.8e-9, "+0.000123217 ± 0.000000003"),
        (123.4567891, 1e-5, "+123.457 ± 0.000"),
        (1_234_568.0, 0.01, "+1,234,570 ± 0"),
        (12_345_678.0, 1200.0, "+1.23457e+07 ± 1.2e+03"),
        (3.2e-8, 1.1e-9, "+3.20e-08 ± 1.1e-09"),
        (1e-9, 0.0139, "+0.000 ± 0.014"),
        (0.0, 1.1e-9, "+0 ± 1.1e-09"),
        (0.00012321, None, "+0.000123"),
        (math.inf, None, "+inf"),
    ],
)
def test_no_figure_has_more_than_six_digits_or_an_exponent_without_need(
    figure: float, reach: float | None, said: str
) -> None:
    """What stands behind ± follows the figure: the same decimals, or an exponent too."""
    assert GAIN.step(figure, reach) == said
    assert GAIN.amount(-figure, reach) == f"{said[1:]} points won"
    assert GAIN.step(-figure, reach)[1:] == said[1:]


def test_what_is_drawn() -> None:
    assert ACCURACY.value(0.5) == IOU.value(0.5) == 50
    assert ERROR.value(-0.41) == 0.41
    assert MISSED.value(-0.03) == 3
    assert [m.is_share for m in (ACCURACY, IOU, MISSED, ERROR)] == [True, True, False, False]


def seeds(*scores: float) -> dict[int, float]:
    return dict(enumerate(scores))


def test_a_lower_error_is_better_and_has_a_minus() -> None:
    small, large = seeds(-0.41, -0.42, -0.40), seeds(-0.45, -0.46, -0.45)
    found = paired(small, large, metric=ERROR)
    assert found.outcome == "better"
    said = found.sentence("the searched widths", "uniform ones", plural=True)
    assert said.startswith("the searched widths are better than uniform ones: −0.043 ± 0.014 kg of")
    back = paired(large, small, metric=ERROR)
    assert back.outcome == "worse"
    assert back.sentence("it", "that").startswith("it is worse than that: +0.043 ± 0.014 kg of")


def test_a_sentence_claims_no_more_than_the_digits_that_it_prints() -> None:
    """The interval leaves out zero by less than the last digit."""
    touching = replace(paired(seeds(1, 2), seeds(0, 1.5), metric=ERROR), difference=0.01404)
    touching = replace(touching, low=0.00003, high=0.02805)
    assert touching.figure == "−0.014 ± 0.014"
    assert touching.outcome == "open"
    assert replace(touching, low=0.002, high=0.02608).outcome == "better"


def test_the_provenance_keeps_the_metric_and_older_runs_have_accuracy() -> None:
    about = Provenance(metric=ERROR)
    assert Provenance.from_json(about.to_json()).metric == ERROR
    assert Provenance.from_json("{}").metric == ACCURACY
    assert "metric" not in Provenance().to_dict()


def turned(scores: tuple[float, ...]) -> tuple[float, ...]:
    """Accuracies as errors: what was more accurate has a smaller one."""
    return tuple(score - 1.5 for score in scores)


def step(name: str, *scores: float) -> GainStep:
    return GainStep(
        *("0.5", name, "uniform@0.5" if "uniform" in name else "trial 5"),
        policy(8 if "uniform" in name else 7),
        *("l1", "plain" if "plain" in name else "reconstruct", 0.0, 0.0, 500_000, 0.5, 8),
        *((0, 1, 2), scores, scores),
    )


def policy(width: int) -> Policy:
    return Policy({"stem": width, "layer1.conv1": 8, "layer2.conv1": 16})


@pytest.fixture
def run(tmp_path: Path, records, finals, provenance) -> Run:
    """The run of the other tests as if it were judged by an error in kilograms, with all that a
    report can show."""
    provenance["metric"] = {
        "name": ERROR.name,
        "unit": ERROR.unit,
        "higher_is_better": False,
        "counts_images": False,
    }
    provenance |= {"train_images": 500, "val_images": 100, "test_images": 100}
    for name in ("val_accuracy", "test_accuracy"):
        provenance["baseline"][name] -= 1.5
    arms = [
        make_arm(structure, arm, seed, worth + 0.001 * seed**2 - 1.5)
        for structure, worth in (("trial 12", 0.93), ("uniform", 0.90))
        for i, arm in enumerate(SIX)
        for seed, worth in enumerate((worth, worth + 0.01 * i, worth))
    ]
    arms = [replace(arm, val_accuracy=arm.test_accuracy) for arm in arms]
    rate = results.SweepPoint("0.5", 0.1, 1, 0, -0.5, chosen=True)
    damage = SensitivityRecord("accuracy_drop", "accuracy", "stem", 16, (4, 8), (0.25, 0.125))
    return make_run(
        [
            replace(r, accuracy=turned(r.accuracy), criterion="l2" if r.number == 1 else "l1")
            for r in records
        ],
        [
            replace(
                f,
                val_accuracy=turned(f.val_accuracy),
                test_accuracy=turned(f.test_accuracy),
                criterion=f.criterion and "l1",
                flops=f.flops - (f.number or 0),  # those of the trial
            )
            for f in finals
        ],
        provenance,
        tmp_path,
        compared=Comparison(arms=tuple(arms), sweep=(rate,), complete=True),
        swept=(rate,),
        measured=(damage,),
        gain_steps=(
            step("plain uniform", -0.60, -0.61, -0.60),
            step("repaired uniform", -0.50, -0.52, -0.50),
            step("searched widths", -0.53, -0.56, -0.54),
        ),
    )


WRONG = re.compile(
    r"accurac|accurate|% of the (test|validation) images|\bpoints\b|hypervolume", re.I
)
"""What must not be said of an error in kilograms."""

MEANT = ("accuracy_drop", "sensitivity-accuracy")
"""Names of ours, of a sensitivity and its picture."""


def plain(words: str) -> str:
    for name in MEANT:
        words = words.replace(name, "")
    return words


def test_a_report_of_an_error_says_its_name_unit_and_direction(run: Run) -> None:
    run.report()
    page, words = ((run.folder / f"report.{kind}").read_text() for kind in ("html", "md"))
    for text in (page, words):
        assert not WRONG.search(plain(text))
    for said in (
        "ship trial 5: mean absolute error 0.5880 kg on the test split, 0.0100 ± 0.0043 kg better "
        "than the unpruned network's.",
        "the searched widths are better than uniform ones: −0.0100 ± 0.0025 kg of test mean "
        "absolute error",
        "## Mean absolute error against FLOPs",
        "the step to “repaired uniform” gave most: −0.097 ± 0.014 kg of test mean absolute error",
        "it is shown to be a gain; “searched widths” is shown to be a loss",
        "| search: val. mean absolute error, kg | final: test mean absolute error, kg |",
        "| **trial 5 (tpe, l1)** |",
        "Down and left is better",
        "a score that can be trusted falls from left to right",
        "| metric | mean absolute error, kg; lower is better |",
        "| items | 500 to train, 100 to validate, 100 to test |",
        "rise of mean absolute error, kg",
        "stem is hurt most (0.19 kg of mean absolute error on average",
        "its mean mean absolute error on the validation split, in kg:",
        "Budget 0.5: test mean absolute error in kg, mean ±",
        "in kg of test mean absolute error. Adjusted p",
    ):
        assert said in words, said


def test_the_pictures_show_the_metric_itself(run: Run) -> None:
    figures = {
        block.name: block.svg
        for section in sections.sections(run)
        for block in section.blocks
        if hasattr(block, "svg")
    }
    assert "hypervolume" not in figures
    assert "validation mean absolute error, kg" in figures["front"]
    assert "validation mean absolute error, kg" in figures["history"]
    assert "mean absolute error 0.6000 kg on the validation split" in figures["front"]
    assert "mean absolute error 0.5880 ± 0.0043 kg on the test split, 3 seeds" in figures["final"]
    for picture in figures.values():
        assert not WRONG.search(plain(picture))


def shown(*parts: Any) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(*parts)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_terminal_says_the_same_in_80_columns(run: Run) -> None:
    parts = (results.terminal_decision(run), results.terminal_table(run))
    text = shown(*parts, results.terminal_comparison(run.compared, run.metric))
    assert not WRONG.search(text)
    assert "…" not in text
    together = " ".join(text.split())
    assert "mean absolute error 0.5880 kg on the test split" in together
    assert re.search(r"test mean absolute error, kg +0\.598. +0\.5880", text) is not None
    assert "−0.0100 ± 0.0025 kg of test mean absolute error" in together
    assert re.search(r"repaired uniform +0\.5067 +−0\.097 ± 0\.014 \(3\)", text)


def test_the_unpruned_network_may_be_better(run: Run) -> None:
    searched = replace(run.finals[2], test_accuracy=(-0.70, -0.71, -0.72))
    uniform = replace(run.finals[1], test_accuracy=(-0.75, -0.76, -0.78))
    worse = replace(run, finals=(run.finals[0], uniform, searched))
    decision = " ".join(shown(results.terminal_decision(worse)).split())
    assert (
        "mean absolute error 0.7100 kg on the test split, 0.112 ± 0.025 kg worse than" in decision
    )
    swapped = replace(
        run,
        finals=(
            run.finals[0],
            replace(uniform, test_accuracy=searched.test_accuracy),
            replace(searched, test_accuracy=uniform.test_accuracy),
        ),
    )
    (verdict,) = results.verdicts(swapped.finals, metric=run.metric)
    assert "the searched widths are worse than uniform ones: +0.053 ± 0.014 kg" in verdict.sentence
    assert "ship uniform widths at 0.5" in shown(results.terminal_decision(swapped))


def test_what_the_intervals_leave_out_is_said(run: Run) -> None:
    """The choice of items; and that an unpruned network that is worse was not trained so long."""
    (better,) = decisions(run)
    (alone,) = decisions(replace(run, finals=tuple(map(first_seed, run.finals))))
    assert better.lost < 0
    assert "; how much other test items would change it is not known; " in better.certainty
    assert better.certainty.endswith("training after its own, so beating it is no wonder.")
    assert "not known" not in alone.certainty
    scratch = replace(better, final=replace(better.final, mode="scratch-b"))
    worse = replace(better, unpruned=replace(better.unpruned, test_accuracy=(-0.5,)))
    assert worse.lost > 0
    assert "no wonder" not in scratch.certainty + worse.certainty


def first_seed(final: FinalRecord) -> FinalRecord:
    return replace(
        final,
        seeds=final.seeds[:1],
        val_accuracy=final.val_accuracy[:1],
        test_accuracy=final.test_accuracy[:1],
    )


def test_tables_have_the_metric_in_its_own_direction(run: Run) -> None:
    assert run.trials["val_mean_absolute_error"].min() == pytest.approx(0.6)
    assert run.trials.loc[1, "mean_absolute_error:2"] == pytest.approx(1.5 - 0.86)
    assert run.final_trainings["test_mean_absolute_error"].min() == pytest.approx(0.587)
    assert run.front["test_mean_absolute_error"].iloc[-1] == pytest.approx(0.588)
    assert run.sensitivity["unit"].tolist() == ["mean absolute error"] * 2
    assert run.sensitivity["damage"].tolist() == [0.25, 0.125]
    for name in results.TABLES.keys() - {"classes"}:
        assert not [column for column in run.table(name) if "accuracy" in column]
    gain = run.gains.iloc[1]
    assert gain["low"] < gain["gain"] < gain["high"] < 0
    assert gain["gain"] == pytest.approx(-0.29 / 3)
    found = contrasts(run.compared, run.metric)
    for contrast, row in zip(found, run.contrasts.itertuples(), strict=True):
        if not math.isnan(contrast.paired.low):
            assert row.difference == pytest.approx(-contrast.paired.difference)
            assert (row.low, row.high) == (-contrast.paired.high, -contrast.paired.low)
            assert row.effect_size == pytest.approx(-contrast.paired.effect_size, nan_ok=True)
    assert run.contrasts["name"].tolist() == [c.name for c in found]


def test_shares_of_another_metric_stay_fractions_under_its_name(run: Run) -> None:
    shares = [replace(r, accuracy=tuple(s + 1.5 for s in r.accuracy)) for r in run.records]
    other = replace(run, records=tuple(shares), provenance=replace(run.provenance, metric=IOU))
    assert other.trials["val_mean_IoU"].max() == pytest.approx(0.9)
    assert "hypervolume" in str(sections.section("search", other).blocks)


def test_runs_of_different_metrics_are_not_compared(run: Run, tmp_path: Path) -> None:
    about = replace(run.provenance, metric=ACCURACY, run="other")
    with pytest.raises(UserError, match="judged by one metric, but digits-1 is judged by mean abs"):
        report_several([run, replace(run, provenance=about)], tmp_path / "both.html")


def test_runs_of_an_error_are_compared_by_it(run: Run, tmp_path: Path) -> None:
    better = [
        replace(f, test_accuracy=tuple(s + 0.1 + 0.01 * i for i, s in enumerate(f.test_accuracy)))
        for f in run.finals
    ]
    other = replace(run, finals=tuple(better), provenance=replace(run.provenance, run="other"))
    path = report_several([run, other], tmp_path / "both.html")
    words = path.with_suffix(".md").read_text()
    assert not WRONG.search(words)
    assert "other is better than digits-1: −0.110 ± 0.025 kg of test mean absolute error" in words
    assert "| minus digits-1, kg |" in words
